//! What became of a governance transaction that a block contains.

use borsh::{BorshDeserialize, BorshSerialize};

/// The outcome of a governance transaction: a function of the chain up to its block. A failed one
/// changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// The operation changed the state, or its effect held already.
    Executed,
    /// The operation changed nothing.
    Failed(Reason),
}

/// Declares the reasons with their tags, codes and texts in one place.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $tag:literal, $code:literal, $text:literal;)*) => {
        /// Why an operation failed. Its text says what to do. The tag is its byte in an encoding, and
        /// neither tag nor code is ever reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, thiserror::Error)]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])* #[error($text)] $name = $tag,)*
        }

        impl Reason {
            /// All of them, in the order of their tags.
            pub const ALL: &[Reason] = &[$(Reason::$name,)*];

            /// The stable name for programs.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Reason::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// The payload is not the canonical encoding of an operation.
    Malformed = 1, "malformed",
        "the payload is not a governance operation: make it with a program of this protocol version";
    /// The sender is not the governance key of a member in force.
    NotAMember = 2, "not_a_member",
        "the sender is not the governance key of a member: sign with the governance key of a member";
    /// The sender is not a key that an open proposal would make a consensus key.
    NotACandidate = 3, "not_a_candidate",
        "the sender is not the consensus key of a candidate: wait until a proposal with this key is open";
    /// No open proposal has this id.
    UnknownProposal = 4, "unknown_proposal",
        "no open proposal has this id: it was decided, closed or expired; list the open proposals";
    /// The member, or all members together, have too many open proposals.
    TooManyProposals = 5, "too_many_proposals",
        "too many proposals are open: withdraw an own one, or wait until one is decided or expires";
    /// Another epoch change is scheduled.
    OneAtATime = 6, "one_at_a_time",
        "another change of members, keys or block, consensus or mempool parameters is scheduled: send this operation again after it took effect";
    /// A new consensus key has sent no READY in time.
    NotReady = 7, "not_ready",
        "a new member is not ready: start its node, wait until it has caught up, then approve again";
    /// The block of a READY is too old.
    ReadyTooOld = 8, "ready_too_old",
        "the block is more than two checkpoint intervals (2 K heights) below this one: send READY with a newer block";
    /// The block of a READY is not on the chain, or not below this block.
    ReadyUnknownBlock = 9, "ready_unknown_block",
        "the chain has no such block below this one: check that the node follows this chain, then send READY again";
    /// No member has this name.
    UnknownMember = 10, "unknown_member", "no member has this name: list the members";
    /// A member has this name.
    NameTaken = 11, "name_taken", "a member has this name: choose another one";
    /// A member has this key.
    KeyInUse = 12, "key_in_use", "a member has this key: make a new key";
    /// A member had this key in one of the last epochs.
    KeyRetired = 13, "key_retired", "a member had this key in an earlier epoch: make a new key";
    /// The bytes are not a point of the curve.
    BadKey = 14, "bad_key", "a key is not a point of secp256k1, so it has no secret key: copy it again";
    /// The committee would have more than 31 members.
    CommitteeTooLarge = 15, "committee_too_large",
        "the committee would have more than 31 members: remove a member first";
    /// The committee would have no member, or fewer than 4 in a network that began with 4 or more.
    CommitteeTooSmall = 16, "committee_too_small",
        "the committee would be too small to tolerate a faulty member: add a member first";
    /// More members change than old and new quorums tolerate.
    TooManyMembersChange = 17, "too_many_members_change",
        "too many members change at once: old and new quorums would share no correct member; split the proposal";
    /// Two changes of a proposal concern the same subject.
    ConflictingChanges = 18, "conflicting_changes",
        "two changes concern the same member, client or parameter: propose one of them";
    /// The change would change nothing.
    NoChange = 19, "no_change", "a change would change nothing: remove it from the proposal";
    /// A parameter would be outside of its range.
    ParameterRange = 20, "parameter_range",
        "a parameter would be outside of its range: preview the proposal to see the range";
    /// A parameter would contradict another one.
    ParameterRule = 21, "parameter_rule",
        "a parameter would contradict another one: preview the proposal, and change both in one proposal";
    /// The member's last rotation or renewal is too recent.
    TooSoon = 22, "too_soon",
        "the last rotation or renewal of this member is less than 16 checkpoint intervals (16 K heights) ago: wait, or let the other members replace the consensus key";
    /// The signature of the new key does not verify.
    BadPossession = 23, "bad_possession",
        "the new key did not sign this rotation for this chain, governance key and epoch: sign again for the current epoch";
    /// The removal of the sender's member is scheduled.
    MemberLeaves = 24, "member_leaves", "the removal of the member is scheduled: another member must add the client";
    /// The registry has this key.
    ClientExists = 25, "client_exists", "the registry has a client with this key: make a new key";
    /// The registry lacks this key.
    UnknownClient = 26, "unknown_client", "the registry has no client with this key: list the clients";
    /// The client belongs to another member.
    NotYourClient = 27, "not_your_client",
        "the client belongs to another member: let that member change it, or propose to revoke it";
    /// The client is revoked.
    ClientRevoked = 28, "client_revoked", "the client is revoked, which is final: add it with a new key";
    /// The member has as many clients as its share of the limit.
    ClientLimit = 29, "client_limit",
        "the member has as many clients as it may have: remove some, or propose a higher governance.max_clients";
    /// The quota of a client is above that of its member.
    QuotaAboveMember = 30, "quota_above_member",
        "the quota is above the quota of a member: choose at most the governance.max_…_per_member";
    /// Too many changes wait for their height.
    ScheduleFull = 31, "schedule_full", "too many changes are scheduled: send this operation again a few blocks later";
    /// The state has a proposal with the id of this transaction.
    Repeated = 32, "repeated", "a proposal with this transaction id is open: approve it";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use quorate_ledger::{decode, encode};

    use super::*;

    #[test]
    fn every_reason_has_its_own_stable_byte_code_and_advice() {
        let mut codes = BTreeSet::new();
        for (reason, tag) in Reason::ALL.iter().zip(1_u8..) {
            assert_eq!(encode(reason), [tag], "tags have no gap");
            assert_eq!(decode::<Reason>(&[tag]).unwrap(), *reason);
            assert!(codes.insert(reason.code()), "{} is used twice", reason.code());
            let text = reason.to_string();
            assert!(text.contains(": ") || text.contains("; "), "{text:?} says what to do");
        }
        assert!(decode::<Reason>(&[0]).is_err());
        assert!(decode::<Reason>(&[33]).is_err());
    }
}
