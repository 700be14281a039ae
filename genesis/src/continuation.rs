//! Makes the genesis of a network that continues a chain whose validators lost their quorum.

use std::collections::{BTreeMap, BTreeSet};

use quorate_governance::{Client, State};
use quorate_ledger::{Epoch, Header, Height, PublicKey};

use crate::draft::{GenesisDraft, Validator};
use crate::error::GenesisErrors;
use crate::genesis::{FAULT_TOLERANT, Genesis};
use crate::predecessor::Predecessor;

/// What is different in a network that continues another one. By default nothing is: it takes over
/// the name, the members with their keys, the clients and all parameters.
#[derive(Debug, Clone, Default)]
pub struct Continuation {
    /// Another name for the network.
    pub name: Option<String>,
    /// Names of members that are not taken over. Their clients are not, either.
    pub without: Vec<String>,
    /// Members with a new consensus key. If a member uses one key for votes and governance, the new
    /// key replaces it in both places.
    pub consensus_keys: Vec<(String, PublicKey)>,
    /// Members with a new governance key, which may be members that are added.
    pub governance_keys: Vec<(String, PublicKey)>,
    /// Members that are added, with their consensus keys.
    pub added: Vec<(String, PublicKey)>,
    /// Whether the network may begin with fewer than four members although the other one may not
    /// have so few.
    pub allow_small: bool,
}

/// The beginning of a network that continues another one.
#[derive(Debug, Clone)]
pub struct Continued {
    /// Its genesis. Equal chains and equal changes give an equal one.
    pub genesis: Genesis,
    /// The clients that it takes over, in the order of their keys.
    pub clients: Vec<Client>,
}

/// Why a network cannot continue another one like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContinuationError {
    /// The chain has only its genesis.
    #[error(
        "the chain has no block, so there is nothing to continue: use its genesis again, or make a new one"
    )]
    NoBlock,
    /// The header is not that of the block after which the state is.
    #[error("the governance state is the one after block {state}, but the block given is {block}")]
    OtherBlock {
        /// Height of the state.
        state: Height,
        /// Height of the block.
        block: Height,
    },
    /// A change names a member that the network does not have.
    #[error("{option} names {name:?}, but the network has no such member: its members are {members}")]
    UnknownMember {
        /// The option of the command line.
        option: &'static str,
        /// The name.
        name: String,
        /// The members that it has.
        members: String,
    },
    /// A change concerns a member that is not taken over.
    #[error("{option} names {name:?}, which --without removes: use one of the two options")]
    Removed {
        /// The option of the command line.
        option: &'static str,
        /// The name.
        name: String,
    },
    /// Two equal options name the same member.
    #[error("{option} is given twice for {name:?}: give it once")]
    Twice {
        /// The option of the command line.
        option: &'static str,
        /// The name.
        name: String,
    },
    /// A member is added under the name of another one.
    #[error(
        "--validator adds {name:?}, but the network has a member of this name: give the new member another name, or \
         replace the keys of the old one with --key and --governance-key"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A new key belongs to a member.
    #[error(
        "{option} gives {name:?} the key {key}, which {owner:?} has in the network that is continued: make a new key"
    )]
    KeyInUse {
        /// The option of the command line.
        option: &'static str,
        /// The member that would get it.
        name: String,
        /// The key.
        key: PublicKey,
        /// The member that has it.
        owner: String,
    },
    /// A new key was replaced before, perhaps because it was stolen.
    #[error(
        "{option} gives {name:?} the key {key}, which left the committee in epoch {epoch} and may be known to \
         others: make a new key"
    )]
    Retired {
        /// The option of the command line.
        option: &'static str,
        /// The member that would get it.
        name: String,
        /// The key.
        key: PublicKey,
        /// The first epoch without it.
        epoch: Epoch,
    },
    /// The network would tolerate no faulty member.
    #[error(
        "{members} members would remain, and fewer than 4 tolerate no fault: add members with --validator, or accept \
         the risk with --allow-small"
    )]
    TooSmall {
        /// How many there would be.
        members: usize,
    },
    /// The content would not be a valid genesis.
    #[error(transparent)]
    Invalid(#[from] GenesisErrors),
}

const WITHOUT: &str = "--without";
const KEY: &str = "--key";
const GOVERNANCE_KEY: &str = "--governance-key";
const VALIDATOR: &str = "--validator";

impl Continuation {
    /// The network that continues the chain `old` after its block `last`. `state` is the governance
    /// state after this block.
    ///
    /// Open proposals, scheduled changes and the history of keys are not taken over.
    ///
    /// # Errors
    /// [`ContinuationError`].
    pub fn of(&self, old: &Genesis, last: &Header, state: &State) -> Result<Continued, ContinuationError> {
        if state.head().block != last.hash() {
            return Err(ContinuationError::OtherBlock { state: state.height(), block: last.height });
        }
        if last.height == Height(0) {
            return Err(ContinuationError::NoBlock);
        }
        self.check(state)?;
        let validators = self.validators(state);
        if validators.len() < FAULT_TOLERANT && !self.allow_small && !state.head().allows_small {
            return Err(ContinuationError::TooSmall { members: validators.len() });
        }
        let clients = self.clients(state);
        let (count, clients_root) = Predecessor::commit_to(&clients);
        let draft = GenesisDraft {
            name: self.name.clone().unwrap_or_else(|| old.name().to_owned()),
            // Time goes on: no block of the new chain is older than one of the old chain.
            genesis_time: last.timestamp,
            validators,
            settings: *state.next_config().settings(),
            predecessor: Some(Predecessor {
                chain_id: last.chain_id,
                height: last.height,
                block: last.hash(),
                epoch: last.epoch,
                state_root: state.root(),
                clients: count,
                clients_root,
            }),
        };
        Ok(Continued { genesis: draft.check()?, clients })
    }

    /// Checks names and keys of the changes against the members of the old network.
    fn check(&self, state: &State) -> Result<(), ContinuationError> {
        let members: Vec<&str> =
            state.next_config().members().iter().map(|member| member.name.as_str()).collect();
        let added: Vec<&str> = self.added.iter().map(|(name, _)| name.as_str()).collect();
        if let Some(name) = added.iter().find(|name| members.contains(*name)) {
            return Err(ContinuationError::NameTaken { name: (*name).to_owned() });
        }
        let keys_of = |keys: &[(String, PublicKey)]| keys.iter().map(|(name, _)| name.clone()).collect();
        let options: [(&'static str, Vec<String>); 4] = [
            (WITHOUT, self.without.clone()),
            (KEY, keys_of(&self.consensus_keys)),
            (GOVERNANCE_KEY, keys_of(&self.governance_keys)),
            (VALIDATOR, keys_of(&self.added)),
        ];
        for (option, names) in options {
            let mut seen = BTreeSet::new();
            for name in names {
                let may_be_new = option == VALIDATOR || option == GOVERNANCE_KEY;
                let known = members.contains(&name.as_str()) || may_be_new && added.contains(&name.as_str());
                if !known {
                    let members = members.join(", ");
                    return Err(ContinuationError::UnknownMember { option, name, members });
                }
                if option != WITHOUT && self.without.contains(&name) {
                    return Err(ContinuationError::Removed { option, name });
                }
                if !seen.insert(name.clone()) {
                    return Err(ContinuationError::Twice { option, name });
                }
            }
        }
        self.check_keys(state)
    }

    /// A new key is one that the old network neither has nor had in its last epochs.
    fn check_keys(&self, state: &State) -> Result<(), ContinuationError> {
        let members = state.next_config().members();
        let owner = |key: &PublicKey| {
            members.iter().find(|member| member.consensus_key == *key || member.governance_key == *key)
        };
        let new =
            [(KEY, &self.consensus_keys), (GOVERNANCE_KEY, &self.governance_keys), (VALIDATOR, &self.added)];
        for (option, keys) in new {
            for (name, key) in keys {
                let (name, key) = (name.clone(), *key);
                if let Some(owner) = owner(&key) {
                    let owner = owner.name.to_string();
                    return Err(ContinuationError::KeyInUse { option, name, key, owner });
                }
                if let Some(epoch) = state.retired().get(&key).copied() {
                    return Err(ContinuationError::Retired { option, name, key, epoch });
                }
            }
        }
        Ok(())
    }

    /// The members of the new network. The names were checked.
    fn validators(&self, state: &State) -> Vec<Validator> {
        let by_name =
            |keys: &[(String, PublicKey)]| -> BTreeMap<String, PublicKey> { keys.iter().cloned().collect() };
        let (consensus, governance) = (by_name(&self.consensus_keys), by_name(&self.governance_keys));
        let old = state.next_config().members().iter().map(|member| Validator {
            name: member.name.to_string(),
            public_key: member.consensus_key,
            governance_key: member.governance_key,
        });
        let kept = old.filter(|validator| !self.without.contains(&validator.name)).map(|mut validator| {
            if let Some(key) = consensus.get(&validator.name) {
                if !validator.has_own_governance_key() {
                    validator.governance_key = *key;
                }
                validator.public_key = *key;
            }
            validator
        });
        let added = self.added.iter().map(|(name, key)| Validator::new(name, *key));
        let mut validators: Vec<Validator> = kept.chain(added).collect();
        for validator in &mut validators {
            if let Some(key) = governance.get(&validator.name) {
                validator.governance_key = *key;
            }
        }
        validators
    }

    /// The clients of the members that are taken over, in the order of their keys.
    fn clients(&self, state: &State) -> Vec<Client> {
        let clients = state.next_config().clients().into_iter();
        let mut clients: Vec<Client> = clients
            .filter(|client| !self.without.iter().any(|name| name == client.member.as_str()))
            .cloned()
            .collect();
        clients.sort_by_key(|client| client.key);
        clients
    }
}

#[cfg(test)]
#[path = "continuation_tests.rs"]
mod tests;
