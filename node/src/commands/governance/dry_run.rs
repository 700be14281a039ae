//! What is printed before a proposal, and instead of it with `--dry-run`.

use quorate_api::{Arithmetic, PreviewJson};
use serde::Serialize;

use super::contacts::Contacts;
use crate::output::{self, Table};

/// A dry run.
#[derive(Debug, Serialize)]
pub(super) struct DryRun {
    /// Always false.
    pub(super) submitted: bool,
    /// The operation in words.
    pub(super) operation: String,
    /// Whether the network would refuse it.
    pub(super) refused: bool,
    /// What the changes would do; null for an operation that its sender decides alone.
    pub(super) preview: Option<PreviewJson>,
    /// Who is up now.
    pub(super) contacts: Contacts,
}

impl DryRun {
    /// As text.
    pub(super) fn human(&self) -> String {
        let mut text = format!("{}\n\n", self.operation);
        if let Some(preview) = &self.preview {
            text += &of_preview(preview);
        }
        let mut table = Table::new(&["member", "now"]);
        for member in &self.contacts.members {
            let mark = if member.is_up { "up" } else { "DOWN" };
            table.row([member.name.clone(), format!("{mark}: {}", member.state)]);
        }
        text += &format!("\n{}\nIf one more fails: {}.\n\n", table.render(), self.contacts.if_one_more_fails);
        text += if self.refused {
            "REFUSED: the network would refuse this. Nothing was submitted."
        } else {
            "Nothing was submitted: this was a dry run."
        };
        text
    }
}

/// Reads one number of the arithmetic of a committee.
type Part = fn(&Arithmetic) -> u32;

fn of_preview(preview: &PreviewJson) -> String {
    let mut table = Table::new(&["", "before", "after"]);
    let after = |part: Part| {
        preview.after.as_ref().map_or_else(|| "impossible".to_owned(), |after| part(after).to_string())
    };
    let rows: [(&str, Part); 4] = [
        ("members", |of| of.members),
        ("needed for a decision (quorum)", |of| of.quorum),
        ("may be down", |of| of.may_be_down),
        ("may be faulty", |of| of.faults_tolerated),
    ];
    for (name, part) in rows {
        table.row([name.to_owned(), part(&preview.before).to_string(), after(part)]);
    }
    let takes_effect = format!("at height {} if the next block decides it", preview.effective_from);
    let epoch = if preview.starts_epoch { "yes" } else { "no" };
    let mut text = table.render();
    text += &format!(
        "\n{}",
        output::fields([
            ("approvals needed", preview.approvals_needed.to_string()),
            ("takes effect", takes_effect),
            ("new epoch", epoch.to_owned()),
        ])
    );
    for obstacle in &preview.obstacles {
        text += &format!("in its way: {}\n", obstacle.message);
    }
    for warning in &preview.warnings {
        text += &format!("warning: {warning}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use quorate_api::ObstacleJson;

    use super::super::contacts::Contact;
    use super::*;

    fn arithmetic(members: u32, quorum: u32) -> Arithmetic {
        Arithmetic { members, faults_tolerated: 1, quorum, may_be_down: members - quorum }
    }

    fn dry_run(refused: bool) -> DryRun {
        let obstacle =
            ObstacleJson { reason: "not_ready".to_owned(), message: "candidate is not ready".to_owned() };
        DryRun {
            submitted: false,
            operation: "propose to remove member d and its clients".to_owned(),
            refused,
            preview: Some(PreviewJson {
                changes: vec!["remove member d and its clients".to_owned()],
                approvals_needed: 4,
                effective_from: 17,
                starts_epoch: true,
                before: arithmetic(5, 4),
                after: Some(arithmetic(4, 3)),
                can_be_decided: false,
                obstacles: vec![obstacle],
                warnings: vec!["fewer may be faulty".to_owned()],
            }),
            contacts: Contacts {
                members: vec![Contact {
                    name: "a".to_owned(),
                    is_up: false,
                    state: "not connected".to_owned(),
                }],
                if_one_more_fails: "ordering stops".to_owned(),
            },
        }
    }

    #[test]
    fn it_shows_the_arithmetic_and_who_is_up() {
        let text = dry_run(false).human();
        for said in [
            "needed for a decision (quorum)  4       3",
            "at height 17",
            "in its way: candidate is not ready",
            "warning: fewer may be faulty",
            "a       DOWN: not connected",
            "If one more fails: ordering stops.",
            "Nothing was submitted",
        ] {
            assert!(text.contains(said), "{said:?} in {text}");
        }
        assert!(dry_run(true).human().contains("REFUSED"));
    }
}
