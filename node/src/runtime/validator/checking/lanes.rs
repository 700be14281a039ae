//! Work of several members, scheduled fairly: in order for each member, round robin by cost among
//! them.

use std::collections::VecDeque;

/// A queue for each member. A worker takes one piece at a time and reports its cost afterwards.
///
/// The next piece comes from the member with the lowest accumulated cost among those that have work
/// and are not being served. A member that was idle gets no credit for that time. So a member that
/// constantly sends expensive messages gets only its share of the work, and pieces of other members
/// wait only for the pieces that are being worked on.
///
/// The queues have no limit of their own: the code that fills them bounds them.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    lanes: Vec<Lane<T>>,
    /// The cost at which the lane that was served last had begun. A lane that was idle starts from
    /// it.
    clock: u64,
    /// Expensive pieces that are being worked on, and their maximum.
    dear: usize,
    dear_at_a_time: usize,
}

/// How far the cost of a lane may be ahead of the others. A correct primary's NEW-VIEW may cost
/// thousands of verifications. Its first proposals must not wait until lanes that are never empty
/// have cost as much.
const LEAD_MAX: u64 = 256;

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<Piece<T>>,
    serving: Option<Weight>,
    spent: u64,
}

#[derive(Debug)]
struct Piece<T> {
    weight: Weight,
    work: T,
}

/// Whether a piece may cost very much more than others. Not all workers may take such pieces at the
/// same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Light,
    Dear,
}

impl<T> Lanes<T> {
    /// Empty queues for this many members. At most `dear_at_a_time` expensive pieces are worked on
    /// at a time.
    pub(crate) fn new(members: usize, dear_at_a_time: usize) -> Self {
        let lane = || Lane { waiting: VecDeque::new(), serving: None, spent: 0 };
        let lanes = std::iter::repeat_with(lane).take(members).collect();
        Lanes { lanes, clock: 0, dear: 0, dear_at_a_time }
    }

    /// Adds a piece behind all others of this member.
    pub(crate) fn push(&mut self, member: usize, weight: Weight, work: T) {
        let lane = &mut self.lanes[member];
        if lane.waiting.is_empty() && lane.serving.is_none() {
            lane.spent = lane.spent.max(self.clock);
        }
        lane.waiting.push_back(Piece { weight, work });
    }

    /// The next piece and its member. No other piece of that member is returned before
    /// [`Lanes::done`].
    pub(crate) fn take(&mut self) -> Option<(usize, T)> {
        let room_for_dear = self.dear < self.dear_at_a_time;
        let is_ready = |lane: &Lane<T>| {
            let next = lane.waiting.front().filter(|_| lane.serving.is_none());
            next.is_some_and(|piece| room_for_dear || piece.weight == Weight::Light)
        };
        let ready = self.lanes.iter().enumerate().filter(|(_, lane)| is_ready(lane));
        let (member, _) = ready.min_by_key(|(_, lane)| lane.spent)?;
        let lane = &mut self.lanes[member];
        let Piece { weight, work } = lane.waiting.pop_front()?;
        lane.serving = Some(weight);
        self.dear += usize::from(weight == Weight::Dear);
        self.clock = self.clock.max(lane.spent);
        Some((member, work))
    }

    /// The piece of this member is done and had this cost.
    pub(crate) fn done(&mut self, member: usize, cost: u64) {
        let lane = &mut self.lanes[member];
        let weight = lane.serving.take();
        self.dear -= usize::from(weight == Some(Weight::Dear));
        lane.spent = lane.spent.saturating_add(cost).min(self.clock.saturating_add(LEAD_MAX));
    }

    /// Number of pieces that wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works alone: takes pieces one after the other. The value of a piece is its cost.
    fn serve(lanes: &mut Lanes<u64>, pieces: usize) -> Vec<(usize, u64)> {
        let mut served = Vec::new();
        while served.len() < pieces
            && let Some((member, cost)) = lanes.take()
        {
            lanes.done(member, cost);
            served.push((member, cost));
        }
        served
    }

    #[test]
    fn one_members_pieces_come_in_order_and_one_at_a_time() {
        let mut lanes = Lanes::new(2, 1);
        for piece in 1..=3 {
            lanes.push(0, Weight::Light, piece);
        }
        assert_eq!(lanes.take(), Some((0, 1)));
        assert_eq!(lanes.take(), None, "the first is being worked on");
        lanes.done(0, 1);
        assert_eq!(serve(&mut lanes, 9), [(0, 2), (0, 3)]);
    }

    /// The flooder sends pieces that cost 100, the others send pieces that cost 1. These wait for
    /// one piece of the flooder.
    #[test]
    fn members_are_served_by_cost_and_not_by_number() {
        let mut lanes = Lanes::new(3, 1);
        for _ in 0..50 {
            lanes.push(0, Weight::Light, 100);
        }
        for _ in 0..50 {
            lanes.push(1, Weight::Light, 1);
            lanes.push(2, Weight::Light, 1);
        }
        let served = serve(&mut lanes, 101);
        let flooder = served.iter().filter(|(member, _)| *member == 0).count();
        assert_eq!(flooder, 1, "all others come before its second piece: {served:?}");
    }

    #[test]
    fn an_idle_member_gains_no_credit() {
        let mut lanes = Lanes::new(2, 1);
        for _ in 0..20 {
            lanes.push(0, Weight::Light, 10);
        }
        serve(&mut lanes, 20);
        for _ in 0..4 {
            lanes.push(1, Weight::Light, 10);
            lanes.push(0, Weight::Light, 10);
        }
        let members: Vec<usize> = serve(&mut lanes, 8).into_iter().map(|(member, _)| member).collect();
        let first_half = members[..4].iter().filter(|member| **member == 0).count();
        assert!((1..=2).contains(&first_half), "they share: {members:?}");
    }

    /// The cost of a view's beginning delays the proposals of a correct primary only briefly.
    #[test]
    fn a_dear_piece_costs_its_member_a_bounded_lead() {
        let mut lanes = Lanes::new(2, 1);
        lanes.push(0, Weight::Dear, 30_000);
        serve(&mut lanes, 1);
        lanes.push(0, Weight::Light, 1);
        for _ in 0..1000 {
            lanes.push(1, Weight::Light, 1);
        }
        let served = serve(&mut lanes, 1001);
        let place = served.iter().position(|(member, _)| *member == 0).expect("it is served");
        assert!((200..=300).contains(&place), "{place}");
    }

    #[test]
    fn dear_pieces_leave_a_worker_for_the_others() {
        let mut lanes = Lanes::new(3, 1);
        lanes.push(0, Weight::Dear, 1000);
        lanes.push(1, Weight::Dear, 1000);
        lanes.push(2, Weight::Light, 1);
        assert_eq!(lanes.take(), Some((0, 1000)));
        assert_eq!(lanes.take(), Some((2, 1)), "the second dear piece waits");
        assert_eq!((lanes.take(), lanes.waiting()), (None, 1));
        lanes.done(0, 1000);
        assert_eq!(lanes.take(), Some((1, 1000)));
    }
}
