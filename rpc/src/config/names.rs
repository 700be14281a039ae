//! The entries of the lists of origins and hosts.

/// Whether this is a valid entry of [`crate::RpcConfig::allowed_hosts`]: a host name in lower case
/// without a port, or `*` for all names.
pub(crate) fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    text == "*"
        || ((1..=253).contains(&text.len())
            && text.bytes().all(plain)
            && !text.starts_with('.')
            && !text.ends_with('.'))
}

/// Whether this is a valid entry of [`crate::RpcConfig::allowed_origins`]: an origin as browsers
/// write it, or `*`.
pub(crate) fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return text == "*";
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*\"',;<>\\^`{|}".contains(&byte);
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_lower_case = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    !scheme.is_empty() && is_scheme && !authority.is_empty() && authority.bytes().all(plain) && is_lower_case
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_distinguished_from_addresses() {
        for origin in ["*", "https://explorer.example", "http://localhost:3000", "http://[::1]:80"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "",
            "explorer.example",
            "https://explorer.example/",
            "https://*.example",
            "https://A.b",
            "[\"https://a.example\"",
            "https://a.example\"",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }

    #[test]
    fn names_are_distinguished_from_addresses_with_ports_and_urls() {
        for name in ["*", "node.example", "validator-0", "a_b"] {
            assert!(is_host(name), "{name}");
        }
        for other in ["", "node.example:8545", "http://node", "Node", "*.example", ".example", "a b"] {
            assert!(!is_host(other), "{other}");
        }
    }
}
