//! Networks whose secret keys are all known, for experiments, tests and the simulator.

use quorate_governance::{GovernanceParameters, Parameters};
use quorate_ledger::{MAX_MEMBERS, ReplicaId, SecretKey, Timestamp};

use crate::draft::{GenesisDraft, Validator};
use crate::error::{GenesisError, GenesisErrors};
use crate::genesis::Genesis;
use crate::predecessor::Predecessor;

/// Time of every seeded genesis: 14 November 2023.
const SEEDED_TIME: Timestamp = Timestamp(1_700_000_000_000);

/// Prefix of a seeded key, before the seed. Its first byte keeps the number below the order of the
/// curve.
const SEEDED_KEY: [u8; 16] = *b"quorate test key";

/// Prefix of a seeded governance key.
const SEEDED_GOVERNANCE_KEY: [u8; 16] = *b"quorate gov. key";

/// A genesis with the secret keys of all its validators. Each has a governance key of its own.
#[derive(Debug, Clone)]
pub struct TestNetwork {
    genesis: Genesis,
    keys: Vec<SecretKey>,
    governance_keys: Vec<SecretKey>,
}

/// The two secret keys of a validator.
struct Keys {
    consensus: SecretKey,
    governance: SecretKey,
}

impl TestNetwork {
    /// A network of `validators` with new keys from the operating system's randomness, with default
    /// parameters. The validators are named `validator-0` and so on, in committee order.
    ///
    /// # Errors
    /// [`GenesisErrors`] if the name, the time or the number of validators is invalid.
    pub fn generate(validators: usize, name: &str, time: Timestamp) -> Result<Self, GenesisErrors> {
        if validators > MAX_MEMBERS {
            return Err(GenesisError::Size(validators).into());
        }
        let generated = |_| Keys { consensus: SecretKey::generate(), governance: SecretKey::generate() };
        let keys = (0..validators).map(generated).collect();
        TestNetwork::of(keys, name, time)
    }

    /// A network that is a function of the seed, including its keys, which are therefore public.
    /// Its name is `seeded-` and the seed.
    ///
    /// # Panics
    /// Unless there are 1 to [`MAX_MEMBERS`] validators.
    pub fn seeded(validators: usize, seed: u64) -> Self {
        assert!(
            (1..=MAX_MEMBERS).contains(&validators),
            "a network has 1 to {MAX_MEMBERS} validators, not {validators}"
        );
        let seeded = |index| Keys {
            consensus: seeded_key(SEEDED_KEY, seed, index),
            governance: seeded_key(SEEDED_GOVERNANCE_KEY, seed, index),
        };
        let keys = (0_u64..).take(validators).map(seeded).collect();
        TestNetwork::of(keys, &format!("seeded-{seed}"), SEEDED_TIME)
            .expect("names, time and size of a seeded network are valid")
    }

    fn of(mut keys: Vec<Keys>, name: &str, time: Timestamp) -> Result<Self, GenesisErrors> {
        keys.sort_by_key(|keys| keys.consensus.public());
        let validator = |(index, keys): (usize, &Keys)| Validator {
            name: format!("validator-{index}"),
            public_key: keys.consensus.public(),
            governance_key: keys.governance.public(),
        };
        let validators = keys.iter().enumerate().map(validator).collect();
        let genesis = GenesisDraft::new(name, time, validators).check()?;
        let (keys, governance_keys) = keys.into_iter().map(|keys| (keys.consensus, keys.governance)).unzip();
        Ok(TestNetwork { genesis, keys, governance_keys })
    }

    /// The same validators with other parameters, and with those of governance that fit the blocks.
    ///
    /// # Errors
    /// [`GenesisErrors`] if the parameters are invalid.
    pub fn with_parameters(self, change: impl FnOnce(&mut Parameters)) -> Result<Self, GenesisErrors> {
        let mut draft = self.genesis.to_draft();
        change(&mut draft.settings.parameters);
        draft.settings.governance = GovernanceParameters::for_blocks(&draft.settings.parameters.block);
        Ok(TestNetwork { genesis: draft.check()?, ..self })
    }

    /// The same validators in a network that continues another one.
    ///
    /// # Errors
    /// [`GenesisErrors`] if the predecessor is impossible.
    pub fn continuing(self, predecessor: Predecessor) -> Result<Self, GenesisErrors> {
        let draft = GenesisDraft { predecessor: Some(predecessor), ..self.genesis.to_draft() };
        Ok(TestNetwork { genesis: draft.check()?, ..self })
    }

    /// The genesis.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The secret consensus keys, in committee order.
    pub fn keys(&self) -> &[SecretKey] {
        &self.keys
    }

    /// The secret consensus key of one member.
    ///
    /// # Panics
    /// If the committee has no such member.
    pub fn key(&self, replica: ReplicaId) -> &SecretKey {
        &self.keys[replica.index()]
    }

    /// The secret governance key of one member.
    ///
    /// # Panics
    /// If the committee has no such member.
    pub fn governance_key(&self, replica: ReplicaId) -> &SecretKey {
        &self.governance_keys[replica.index()]
    }

    /// Genesis and consensus keys in committee order.
    pub fn into_parts(self) -> (Genesis, Vec<SecretKey>) {
        (self.genesis, self.keys)
    }
}

fn seeded_key(prefix: [u8; 16], seed: u64, index: u64) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&prefix);
    bytes[16..24].copy_from_slice(&seed.to_be_bytes());
    bytes[24..].copy_from_slice(&index.to_be_bytes());
    SecretKey::from_bytes(&bytes).expect("a number that starts with 0x71 is a key")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_are_in_committee_order_under_their_names() {
        for network in [TestNetwork::seeded(7, 3), TestNetwork::generate(7, "fresh", Timestamp(1)).unwrap()] {
            let genesis = network.genesis();
            for replica in genesis.committee().replicas() {
                let validator = genesis.validator(replica).unwrap();
                assert_eq!(genesis.committee().member(replica), Some(&validator.public_key));
                assert_eq!(network.key(replica).public(), validator.public_key);
                assert_eq!(network.governance_key(replica).public(), validator.governance_key);
                assert!(validator.has_own_governance_key());
                assert_eq!(validator.name, format!("validator-{replica}"));
            }
            assert_eq!(network.keys().len(), 7);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_network_and_another_seed_another() {
        let chain = |n, seed| TestNetwork::seeded(n, seed).genesis().chain_id();
        assert_eq!(chain(4, 1), chain(4, 1));
        assert_ne!(chain(4, 1), chain(4, 2));
        assert_ne!(chain(4, 1), chain(5, 1));
    }

    #[test]
    fn fresh_networks_differ() {
        let chain = || {
            let network = TestNetwork::generate(1, "fresh", Timestamp(1)).unwrap();
            network.genesis().chain_id()
        };
        assert_ne!(chain(), chain());
    }

    #[test]
    fn impossible_networks_are_refused() {
        for validators in [0, MAX_MEMBERS + 1, usize::MAX] {
            let errors = TestNetwork::generate(validators, "fresh", Timestamp(1)).unwrap_err();
            assert_eq!(errors.errors(), [GenesisError::Size(validators)]);
        }
        assert!(TestNetwork::generate(1, "Not A Name", Timestamp(1)).is_err());
    }

    #[test]
    fn parameters_can_be_changed_and_are_checked_again() {
        let network = TestNetwork::seeded(4, 1);
        let chain = network.genesis().chain_id();
        let narrow = network.clone().with_parameters(|parameters| parameters.consensus.window = 2).unwrap();
        assert_eq!(narrow.genesis().consensus().window, 2);
        assert_ne!(narrow.genesis().chain_id(), chain);
        assert!(network.with_parameters(|parameters| parameters.consensus.window = 0).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let network = TestNetwork::seeded(1, 1);
        let shown = format!("{network:?}");
        for key in [network.key(ReplicaId(0)), network.governance_key(ReplicaId(0))] {
            assert!(!shown.contains(&quorate_ledger::to_hex(&*key.to_bytes())[2..]));
        }
    }
}
