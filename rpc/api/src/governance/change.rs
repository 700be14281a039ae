//! Changes in JSON and in words.

use std::fmt;

use quorate_governance::{Change, Name, NameError, Submit, UnknownParameter};
use quorate_ledger::PublicKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::Hex;

/// A change of a proposal, which needs the approval of a quorum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Change")]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangeJson {
    /// Adds a member.
    AddMember {
        /// Its name: 1 to 32 of the characters a-z, 0-9 and -.
        name: String,
        /// The key with which it will sign votes.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<33>")]
        consensus_key: PublicKey,
        /// The key with which it will sign governance operations.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<33>")]
        governance_key: PublicKey,
    },
    /// Removes a member and its clients.
    RemoveMember {
        /// Its name.
        name: String,
    },
    /// Replaces one or both keys of a member.
    ReplaceKeys {
        /// Its name.
        name: String,
        /// The new consensus key; null to keep it.
        #[serde(with = "hex::option", default)]
        #[schemars(with = "Option<Hex<33>>")]
        consensus_key: Option<PublicKey>,
        /// The new governance key; null to keep it.
        #[serde(with = "hex::option", default)]
        #[schemars(with = "Option<Hex<33>>")]
        governance_key: Option<PublicKey>,
    },
    /// Revokes a client of any member, for ever.
    RevokeClient {
        /// Its key.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<33>")]
        key: PublicKey,
    },
    /// Sets a parameter.
    SetParameter {
        /// Its section and name, as in `consensus.window`.
        parameter: String,
        /// Its new value.
        value: u64,
    },
    /// Sets whose transactions the network accepts.
    SetSubmitMode {
        /// The new mode.
        mode: SubmitMode,
    },
}

/// Whose transactions the network accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubmitMode {
    /// Those of every key that can sign.
    Open,
    /// Those of registered clients, within their quotas.
    Registry,
}

impl SubmitMode {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        Submit::from(self).as_str()
    }
}

impl From<Submit> for SubmitMode {
    fn from(mode: Submit) -> Self {
        match mode {
            Submit::Open => SubmitMode::Open,
            Submit::Registry => SubmitMode::Registry,
        }
    }
}

impl From<SubmitMode> for Submit {
    fn from(mode: SubmitMode) -> Self {
        match mode {
            SubmitMode::Open => Submit::Open,
            SubmitMode::Registry => Submit::Registry,
        }
    }
}

/// Why the JSON of a change is not a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChange {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a parameter that governance may change.
    #[error(transparent)]
    Parameter(#[from] UnknownParameter),
}

impl From<&Change> for ChangeJson {
    fn from(change: &Change) -> Self {
        match change {
            Change::AddMember { name, consensus_key, governance_key } => ChangeJson::AddMember {
                name: name.to_string(),
                consensus_key: *consensus_key,
                governance_key: *governance_key,
            },
            Change::RemoveMember { name } => ChangeJson::RemoveMember { name: name.to_string() },
            Change::ReplaceKeys { name, consensus_key, governance_key } => ChangeJson::ReplaceKeys {
                name: name.to_string(),
                consensus_key: *consensus_key,
                governance_key: *governance_key,
            },
            Change::RevokeClient { key } => ChangeJson::RevokeClient { key: *key },
            Change::SetParameter { parameter, value } => {
                ChangeJson::SetParameter { parameter: parameter.to_string(), value: *value }
            }
            Change::SetSubmitMode { mode } => ChangeJson::SetSubmitMode { mode: (*mode).into() },
        }
    }
}

impl TryFrom<&ChangeJson> for Change {
    type Error = InvalidChange;

    fn try_from(json: &ChangeJson) -> Result<Self, InvalidChange> {
        let name = |text: &String| text.parse::<Name>();
        Ok(match json {
            ChangeJson::AddMember { name: text, consensus_key, governance_key } => Change::AddMember {
                name: name(text)?,
                consensus_key: *consensus_key,
                governance_key: *governance_key,
            },
            ChangeJson::RemoveMember { name: text } => Change::RemoveMember { name: name(text)? },
            ChangeJson::ReplaceKeys { name: text, consensus_key, governance_key } => Change::ReplaceKeys {
                name: name(text)?,
                consensus_key: *consensus_key,
                governance_key: *governance_key,
            },
            ChangeJson::RevokeClient { key } => Change::RevokeClient { key: *key },
            ChangeJson::SetParameter { parameter, value } => {
                Change::SetParameter { parameter: parameter.parse()?, value: *value }
            }
            ChangeJson::SetSubmitMode { mode } => Change::SetSubmitMode { mode: (*mode).into() },
        })
    }
}

/// The change in words.
impl fmt::Display for ChangeJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeJson::AddMember { name, consensus_key, governance_key }
                if consensus_key == governance_key =>
            {
                write!(f, "add member {name} with the key {consensus_key} for votes and governance")
            }
            ChangeJson::AddMember { name, consensus_key, governance_key } => {
                write!(
                    f,
                    "add member {name} with the consensus key {consensus_key} and the governance key {governance_key}"
                )
            }
            ChangeJson::RemoveMember { name } => write!(f, "remove member {name} and its clients"),
            ChangeJson::ReplaceKeys { name, consensus_key, governance_key } => {
                write!(f, "replace the keys of member {name}:")?;
                if let Some(key) = consensus_key {
                    write!(f, " consensus key {key}")?;
                }
                if let Some(key) = governance_key {
                    write!(f, "{} governance key {key}", if consensus_key.is_some() { "," } else { "" })?;
                }
                Ok(())
            }
            ChangeJson::RevokeClient { key } => write!(f, "revoke the client {key} for ever"),
            ChangeJson::SetParameter { parameter, value } => write!(f, "set {parameter} to {value}"),
            ChangeJson::SetSubmitMode { mode: SubmitMode::Open } => {
                f.write_str("accept transactions of every key (submit mode open)")
            }
            ChangeJson::SetSubmitMode { mode: SubmitMode::Registry } => {
                f.write_str("accept transactions of registered clients only (submit mode registry)")
            }
        }
    }
}

/// A change with its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribedChange {
    /// The change in words.
    pub text: String,
    /// The change for programs, as `governance_preview` takes it.
    pub change: ChangeJson,
}

impl From<&Change> for DescribedChange {
    fn from(change: &Change) -> Self {
        let change = ChangeJson::from(change);
        DescribedChange { text: change.to_string(), change }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_ledger::SecretKey;

    use super::*;

    fn key(number: u8) -> PublicKey {
        SecretKey::from_bytes(&[number; 32]).unwrap().public()
    }

    fn changes() -> Vec<Change> {
        let name: Name = "bank-5".parse().unwrap();
        let mut all = vec![
            Change::AddMember { name: name.clone(), consensus_key: key(1), governance_key: key(2) },
            Change::AddMember { name: name.clone(), consensus_key: key(1), governance_key: key(1) },
            Change::RemoveMember { name: name.clone() },
            Change::ReplaceKeys {
                name: name.clone(),
                consensus_key: Some(key(1)),
                governance_key: Some(key(2)),
            },
            Change::ReplaceKeys { name, consensus_key: None, governance_key: Some(key(2)) },
            Change::RevokeClient { key: key(3) },
            Change::SetSubmitMode { mode: Submit::Open },
            Change::SetSubmitMode { mode: Submit::Registry },
        ];
        let parameters = quorate_governance::ParameterName::ALL;
        all.extend(
            parameters.iter().map(|parameter| Change::SetParameter { parameter: *parameter, value: 7 }),
        );
        all
    }

    #[test]
    fn every_change_survives_json() {
        for change in changes() {
            let text = serde_json::to_string(&ChangeJson::from(&change)).unwrap();
            let read: ChangeJson = serde_json::from_str(&text).unwrap();
            assert_eq!(Change::try_from(&read).unwrap(), change, "{text}");
        }
    }

    #[test]
    fn json_that_is_no_change_is_refused_with_the_reason() {
        for wrong in [
            r#"{"change":"remove_member"}"#,
            r#"{"change":"remove_member","name":"a","more":1}"#,
            r#"{"change":"set_parameter","parameter":"consensus.window","value":-1}"#,
            r#"{"change":"stop"}"#,
        ] {
            assert!(serde_json::from_str::<ChangeJson>(wrong).is_err(), "{wrong}");
        }
        let name = ChangeJson::RemoveMember { name: "Bank".to_owned() };
        assert!(matches!(Change::try_from(&name), Err(InvalidChange::Name(_))));
        let parameter = ChangeJson::SetParameter { parameter: "genesis.name".to_owned(), value: 1 };
        assert!(Change::try_from(&parameter).unwrap_err().to_string().contains("genesis.name"));
    }

    #[test]
    fn words_name_what_changes() {
        let words = |change: &Change| ChangeJson::from(change).to_string();
        let all = changes();
        assert!(words(&all[0]).contains("bank-5") && words(&all[0]).contains(&key(2).to_string()));
        assert!(words(&all[1]).contains("votes and governance"));
        assert_eq!(words(&all[4]), format!("replace the keys of member bank-5: governance key {}", key(2)));
    }
}
