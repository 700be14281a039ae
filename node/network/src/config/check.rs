//! Checks the values of a configuration, without opening a socket.

use std::time::Duration;

use super::{
    MESSAGE_BYTES_MAX, NETWORK_NAME_BYTES_MAX, NetworkConfig, NetworkLimits, NetworkTiming, QUEUE_BYTES_MAX,
};
use crate::error::StartError;

impl NetworkLimits {
    fn check(&self) -> Result<(), StartError> {
        let messages = [
            ("limits.frame_bytes", self.frame_bytes),
            ("limits.gossip_message_bytes", self.gossip_message_bytes),
            ("limits.request_bytes", self.request_bytes),
            ("limits.response_bytes", self.response_bytes),
            ("limits.accepted_response_bytes", self.accepted_response_bytes),
        ];
        for (name, value) in messages {
            within(name, value, 1, MESSAGE_BYTES_MAX)?;
        }
        let queues = [
            ("limits.outbound_bytes", self.outbound_bytes, self.frame_bytes),
            ("limits.inbound_bytes", self.inbound_bytes, self.frame_bytes),
            ("limits.gossip_bytes", self.gossip_bytes, self.gossip_message_bytes),
            ("limits.publish_bytes", self.publish_bytes, self.gossip_message_bytes),
        ];
        for (name, value, one_message) in queues {
            within(name, value, one_message, QUEUE_BYTES_MAX)?;
        }
        let counts = [
            ("limits.outbound_messages", self.outbound_messages),
            ("limits.inbound_messages", self.inbound_messages),
            ("limits.gossip_messages", self.gossip_messages),
            ("limits.publish_messages", self.publish_messages),
        ];
        for (name, value) in counts {
            within(name, value, 1, 1 << 20)?;
        }
        within("limits.requests_per_peer", self.requests_per_peer, 1, 128)?;
        within("limits.addresses_per_member", self.addresses_per_member, 1, 64)?;
        within("limits.pending_incoming", self.pending_incoming as usize, 1, 1 << 16)
    }
}

impl NetworkTiming {
    fn check(&self) -> Result<(), StartError> {
        const LONGEST: Duration = Duration::from_secs(3600);
        let spans = [
            ("timing.heartbeat_interval", self.heartbeat_interval),
            ("timing.silent_timeout", self.silent_timeout),
            ("timing.redial_min", self.redial_min),
            ("timing.redial_max", self.redial_max),
            ("timing.dial_grace", self.dial_grace),
            ("timing.dial_timeout", self.dial_timeout),
            ("timing.request_timeout", self.request_timeout),
            ("timing.lookup_min", self.lookup_min),
            ("timing.lookup_max", self.lookup_max),
            ("timing.close_timeout", self.close_timeout),
        ];
        for (name, span) in spans {
            if span < Duration::from_millis(1) || span > LONGEST {
                let reason = format!("is {span:?} but must be between 1 ms and {LONGEST:?}");
                return Err(StartError::Setting { name, reason });
            }
        }
        let ordered = [
            (
                "timing.silent_timeout",
                self.silent_timeout,
                "timing.heartbeat_interval",
                self.heartbeat_interval,
            ),
            ("timing.redial_max", self.redial_max, "timing.redial_min", self.redial_min),
            ("timing.lookup_max", self.lookup_max, "timing.lookup_min", self.lookup_min),
        ];
        for (name, long, other, short) in ordered {
            if long < short {
                let reason = format!("is {long:?} but must not be below {other} ({short:?})");
                return Err(StartError::Setting { name, reason });
            }
        }
        Ok(())
    }
}

impl NetworkConfig {
    /// Checks the values, without opening a socket. Reports the first problem.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let name = &self.network_name;
        let spelled = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if name.is_empty() || name.len() > NETWORK_NAME_BYTES_MAX || !spelled {
            return Err(StartError::NetworkName {
                name: name.chars().take(NETWORK_NAME_BYTES_MAX).collect(),
            });
        }
        self.limits.check()?;
        self.timing.check()
    }
}

fn within(name: &'static str, value: usize, low: usize, high: usize) -> Result<(), StartError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let reason = format!("is {value} but must be between {low} and {high}");
    Err(StartError::Setting { name, reason })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zeroize::Zeroizing;

    use super::*;

    fn config() -> NetworkConfig {
        NetworkConfig {
            secret_key: Zeroizing::new([42; 32]),
            members: Vec::new(),
            observers: Vec::new(),
            network_name: "test".into(),
            listen: Vec::new(),
            advertise: Vec::new(),
            bootstrap: Vec::new(),
            limits: NetworkLimits::default(),
            known: Vec::new(),
            timing: NetworkTiming::default(),
        }
    }

    #[test]
    fn the_defaults_are_allowed() {
        config().check().unwrap();
    }

    #[test]
    fn a_queue_must_hold_one_message() {
        let mut config = config();
        config.limits.outbound_bytes = config.limits.frame_bytes - 1;
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("limits.outbound_bytes"), "{error}");
    }

    #[test]
    fn a_network_name_with_path_separators_is_refused() {
        for name in ["", "a/b", "ü", &"x".repeat(NETWORK_NAME_BYTES_MAX + 1)] {
            let mut config = config();
            config.network_name = name.to_owned();
            assert!(matches!(config.check(), Err(StartError::NetworkName { .. })), "{name}");
        }
    }

    #[test]
    fn the_silent_timeout_must_not_be_below_the_heartbeat_interval() {
        let mut config = config();
        config.timing.silent_timeout = config.timing.heartbeat_interval / 2;
        assert!(config.check().unwrap_err().to_string().contains("silent_timeout"));
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert!(!format!("{:?}", config()).contains("42"));
    }
}
