#![allow(clippy::unwrap_used)]
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::check::MAX_ADDRESSES;
use super::*;

fn variables(pairs: &[(&str, &str)]) -> Overrides {
    let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Overrides { variables, flags: Vec::new() }
}

fn of_process(pairs: &[(&[u8], &[u8])]) -> Result<Overrides, String> {
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let variables = pairs.iter().map(|(name, value)| (os(name), os(value)));
    Overrides::new(variables, &[]).map_err(|error| error.to_string())
}

fn checked(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    parse(Path::new("home/config.toml"), text, &variables(pairs))?.1.check(Path::new("home"))
}

fn problems(text: &str, pairs: &[(&str, &str)]) -> String {
    checked(text, pairs).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_a_config_with_paths_inside_the_home() {
    let config = checked("", &[]).unwrap();
    assert_eq!(config.key, Path::new("home/key.pem"));
    assert_eq!(config.ledger, Path::new("home/data/ledger.redb"));
    assert_eq!(config.rpc.listen, "127.0.0.1:8545".parse().unwrap());
    assert!(config.verify_threads >= 1);
}

#[test]
fn absolute_paths_are_not_changed() {
    let config = checked("[files]\njournal = \"/var/lib/journal.redb\"\n", &[]).unwrap();
    assert_eq!(config.journal, Path::new("/var/lib/journal.redb"));
}

#[test]
fn the_administration_socket_is_in_the_home_or_disabled() {
    let socket = |text, pairs| checked(text, pairs).unwrap().admin_socket;
    assert_eq!(socket("", &[]).unwrap(), Path::new("home/admin.sock"));
    let elsewhere = [("QUORATE_ADMIN__SOCKET", "/run/quorate/admin.sock")];
    assert_eq!(socket("", &elsewhere).unwrap(), Path::new("/run/quorate/admin.sock"));
    assert_eq!(socket("[admin]\nsocket = \"\"\n", &[]), None);
}

#[test]
fn the_environment_overrides_the_file() {
    let file = "[rpc]\nlisten = \"127.0.0.1:1\"\nmax_batch = 5\n[p2p]\nlisten = [\"/ip4/127.0.0.1/tcp/1\"]\n";
    let config = checked(
        file,
        &[
            ("QUORATE_RPC__LISTEN", "[::1]:2"),
            ("QUORATE_RPC__MAX_BATCH", "7"),
            ("QUORATE_P2P__BOOTSTRAP", "/dns4/a/tcp/1, /dns4/b/tcp/2"),
            ("QUORATE_P2P__ADVERTISE", "[\"/dns4/c/tcp/3\",\"/dns4/d/tcp/4\"]"),
        ],
    );
    let config = config.unwrap();
    assert_eq!(config.rpc.listen, "[::1]:2".parse().unwrap());
    assert_eq!(config.rpc.max_batch, 7);
    assert_eq!(config.p2p_listen, ["/ip4/127.0.0.1/tcp/1"]);
    assert_eq!(config.p2p_bootstrap, ["/dns4/a/tcp/1", "/dns4/b/tcp/2"]);
    assert_eq!(config.p2p_advertise, ["/dns4/c/tcp/3", "/dns4/d/tcp/4"]);
}

#[test]
fn unknown_settings_are_refused_by_name_and_source() {
    let text = problems("[rpc]\nlisen = \"127.0.0.1:1\"\n", &[]);
    assert!(text.contains("home/config.toml") && text.contains("lisen"), "{text}");
    assert!(text.contains("did you mean listen?"), "{text}");
    let text = problems("[rcp]\n", &[]);
    assert!(text.contains("rcp"), "{text}");
    let text = problems("", &[("QUORATE_RPC__LISEN", "127.0.0.1:1")]);
    assert!(text.contains("environment variable QUORATE_RPC__LISEN"), "{text}");
    let text = problems("[rpc]\ncolour = \"blue\"\n", &[]);
    assert!(text.contains("colour") && !text.contains("did you mean"), "{text}");
}

#[test]
fn a_variable_with_one_underscore_is_refused_with_a_suggestion() {
    let text = problems("", &[("QUORATE_RPC_LISTEN", "127.0.0.1:1")]);
    assert!(text.contains("write QUORATE_RPC__LISTEN"), "{text}");
    let foreign = [("QUORATE_PASSPHRASE", "x"), ("QUORATE_PORT_9000_TCP", "tcp://10.0.0.1:9000")];
    assert!(checked("", &foreign).is_ok(), "variables of other programs are ignored");
}

/// Service units and compose files leave variables empty in order to use the default.
#[test]
fn an_empty_variable_is_unset_and_one_that_is_not_text_is_refused() {
    let overrides = of_process(&[
        (b"QUORATE_RPC__LISTEN", b""),
        (b"QUORATE_RPC__MAX_BATCH", b"7"),
        (b"PATH", b"\xff"),
        (b"QUORATE_HOME", b"/\xff"),
    ]);
    let overrides = overrides.unwrap();
    let file = "[rpc]\nlisten = \"127.0.0.1:1\"\n";
    let parsed = parse(Path::new("home/config.toml"), file, &overrides).unwrap();
    let config = parsed.1.check(Path::new("home")).unwrap();
    assert_eq!((config.rpc.listen.port(), config.rpc.max_batch), (1, 7));

    let text = of_process(&[(b"QUORATE_RPC__LISTEN", b"127.0.0.1:\xff")]).unwrap_err();
    assert_eq!(text, "environment variable QUORATE_RPC__LISTEN: it is not UTF-8 text");
    let text =
        of_process(&[(b"QUORATE_RPC__MAX_\xff", b"1"), (b"QUORATE_P2P__LISTEN", b"\xff")]).unwrap_err();
    assert!(text.contains("QUORATE_P2P__LISTEN, QUORATE_RPC__MAX_"), "{text}");
}

/// `["https://a.example"` was once accepted as an origin.
#[test]
fn a_list_without_an_end_is_refused_with_the_name_of_its_source() {
    for (variable, text) in [
        ("QUORATE_RPC__ALLOWED_ORIGINS", "[\"https://a.example\""),
        ("QUORATE_P2P__BOOTSTRAP", " [/dns4/a/tcp/1"),
        ("QUORATE_RPC__LISTEN", "[\"127.0.0.1:1\"]]"),
    ] {
        let text = problems("", &[(variable, text)]);
        assert!(text.contains(variable) && text.contains("begins like a list"), "{text}");
    }
    assert_eq!(checked("", &[("QUORATE_RPC__LISTEN", "[::1]:7")]).unwrap().rpc.listen.port(), 7);
    let text = problems("[rpc]\nallowed_origins = [\"[https://a.example\"]\n", &[]);
    assert!(text.contains("rpc.allowed_origins"), "{text}");
}

#[test]
fn values_that_a_start_would_refuse_are_refused_here() {
    for (setting, text) in [
        ("p2p.listen", "/ip4/127.0.0.1/udp/9000/quic-v1"),
        ("p2p.listen", "/dns/localhost/tcp/9000"),
        ("p2p.advertise", "/ip4/0.0.0.0/tcp/9000"),
        ("p2p.bootstrap", "/ip4/10.0.0.1/tcp/0"),
        ("rpc.max_response_bytes", "10"),
        ("rpc.max_body_bytes", "1"),
        ("rpc.max_message_bytes", "1"),
        ("rpc.max_memory_bytes", "1"),
    ] {
        let variable = format!("QUORATE_{}", setting.to_ascii_uppercase().replace('.', "__"));
        let found = problems("", &[(&variable, text)]);
        assert!(found.contains(setting), "{setting}={text}: {found}");
    }
}

#[test]
fn a_value_of_the_wrong_type_and_a_syntax_error_are_one_message() {
    let text = problems("[rpc]\nmax_batch = \"many\"\n", &[]);
    assert!(text.contains("rpc.max_batch") && text.contains("many"), "{text}");
    let text = problems("", &[("QUORATE_RPC__MAX_BATCH", "many")]);
    assert!(text.contains("QUORATE_RPC__MAX_BATCH"), "{text}");
    let text = problems("[rpc\n", &[]);
    assert!(text.contains("home/config.toml"), "{text}");
}

#[test]
fn every_problem_is_reported_together() {
    let file = "
        [rpc]
        listen = \"localhost\"
        max_connections = 0
        allowed_origins = [\"explorer.example\"]
        allowed_hosts = [\"node.example:8545\"]
        [p2p]
        listen = []
        bootstrap = [\"127.0.0.1:9000\"]
        [verification]
        threads = 100000
    ";
    let text = problems(file, &[]);
    for part in [
        "rpc.listen",
        "rpc.max_connections",
        "rpc.allowed_origins",
        "rpc.allowed_hosts",
        "p2p.listen",
        "p2p.bootstrap",
        "verification.threads",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn clients_may_use_the_advertised_host_names() {
    let file = "
        [rpc]
        allowed_hosts = [\"rpc.example\"]
        [p2p]
        advertise = [\"/dns/Bank-a.example/tcp/9000\", \"/ip4/10.0.0.1/tcp/9000\", \"/dns4/other.example./tcp/1\"]
    ";
    let hosts = checked(file, &[]).unwrap().rpc.allowed_hosts;
    assert_eq!(hosts, ["rpc.example", "bank-a.example", "other.example"]);
}

#[test]
fn request_rates_can_be_set_and_disabled() {
    let config = checked("[rpc]\nmax_requests_per_second = 50\nmax_request_burst = 100\n", &[]).unwrap();
    assert_eq!((config.rpc.max_requests_per_second, config.rpc.max_request_burst), (50, 100));
    assert!(!config.rpc.limit_loopback);
    let config = checked("[rpc]\nlimit_loopback = true\nmax_requests_per_second = 0\n", &[]).unwrap();
    assert!(config.rpc.limit_loopback);
    assert!(checked("", &[("QUORATE_RPC__LIMIT_LOOPBACK", "true")]).unwrap().rpc.limit_loopback);
    assert!(config.rpc.explorer, "the explorer is enabled by default");
    assert!(!checked("[rpc]\nexplorer = false\n", &[]).unwrap().rpc.explorer);
    let text = problems("", &[("QUORATE_RPC__LIMIT_LOOPBACK", "perhaps")]);
    assert!(text.contains("QUORATE_RPC__LIMIT_LOOPBACK") && text.contains("true or false"), "{text}");

    let text = problems("[rpc]\nmax_request_burst = 99\n", &[]);
    assert!(text.contains("no less than max_batch, 100"), "a batch must fit: {text}");
    let text = problems("[rpc]\nmax_requests_per_second = 1000001\n", &[]);
    assert!(text.contains("or 0 for no limit"), "{text}");
}

#[test]
fn too_many_addresses_are_refused() {
    let list = vec!["/ip4/127.0.0.1/tcp/1"; MAX_ADDRESSES + 1].join(",");
    let text = problems("", &[("QUORATE_P2P__BOOTSTRAP", &list)]);
    assert!(text.contains("at most 64"), "{text}");
}

#[test]
fn the_origin_of_every_value_is_known() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.toml"), "[rpc]\nmax_batch = 5\nmax_streams = 7\n").unwrap();
    let given =
        [("QUORATE_RPC__MAX_STREAMS", "9"), ("QUORATE_P2P__BOOTSTRAP", "/dns4/a/tcp/1,/dns4/b/tcp/2")];
    let mut overrides = variables(&given);
    overrides.flags =
        vec!["rpc.max_subscriptions=3".parse().unwrap(), "rpc.max_subscriptions=4".parse().unwrap()];
    let (config, all) = effective(home.path(), &overrides).unwrap();
    assert_eq!((config.rpc.max_batch, config.rpc.max_streams, config.rpc.max_subscriptions), (5, 9, 4));
    let of = |setting: &str| {
        let found = all.iter().find(|effective| effective.setting == setting).unwrap();
        (found.value.to_string(), found.origin.as_str())
    };
    assert_eq!(of("rpc.max_batch"), ("5".to_owned(), "config.toml"));
    assert_eq!(of("rpc.max_streams"), ("9".to_owned(), "environment variable QUORATE_RPC__MAX_STREAMS"));
    assert_eq!(of("rpc.max_connections"), ("1024".to_owned(), "default"));
    let bootstrap = "[\"/dns4/a/tcp/1\",\"/dns4/b/tcp/2\"]".to_owned();
    assert_eq!(of("p2p.bootstrap"), (bootstrap, "environment variable QUORATE_P2P__BOOTSTRAP"));
    assert_eq!(of("rpc.max_subscriptions"), ("4".to_owned(), "--set"));
    let changed: Vec<_> = all.iter().filter(|effective| !effective.is_default()).collect();
    assert_eq!(changed.len(), 4);
}

#[test]
fn flags_override_and_are_named_in_errors() {
    let flag = |text: &str| text.parse::<SettingFlag>();
    let with = |flags: &[&str]| {
        let mut overrides = variables(&[("QUORATE_RPC__MAX_BATCH", "7")]);
        overrides.flags = flags.iter().map(|text| flag(text).unwrap()).collect();
        parse(Path::new("home/config.toml"), "[rpc]\nmax_batch = 5\n", &overrides)
    };
    assert_eq!(with(&["rpc.max_batch=9"]).unwrap().1.check(Path::new("home")).unwrap().rpc.max_batch, 9);
    let text = with(&["rpc.max_bath=9"]).unwrap_err().to_string();
    assert!(text.contains("--set: ") && text.contains("did you mean max_batch?"), "{text}");
    for wrong in ["rpc.max_batch", "max_batch=9", ""] {
        assert!(flag(wrong).unwrap_err().contains("rpc.listen=127.0.0.1:8545"), "{wrong}");
    }
}

#[test]
fn observers_are_listed_by_key_and_only_at_validators() {
    let key = |byte| quorate_ledger::SecretKey::from_bytes(&[byte; 32]).unwrap().public().to_string();
    let listed = |keys: &[String]| format!("[p2p]\nobservers = {keys:?}\n");
    let config = checked(&listed(&[key(1), key(2)]), &[]).unwrap();
    assert_eq!((config.role, config.p2p_observers.len()), (Role::Validator, 2));
    let text = problems(&listed(&[key(1), key(1), "0x1234".into(), format!("0x02{}", "ff".repeat(32))]), &[]);
    assert!(text.contains("twice") && text.contains("contains \"0x1234\": write a public key"), "{text}");
    assert!(text.contains("contains \"0x02ff"), "no point of the curve: {text}");
    let many: Vec<String> = (1..=33).map(key).collect();
    assert!(problems(&listed(&many), &[]).contains("33 keys: at most 32"));

    let observer = [("QUORATE_NODE__ROLE", "observer")];
    assert_eq!(checked("", &observer).unwrap().role, Role::Observer);
    let text = problems(&listed(&[key(1)]), &observer);
    assert!(text.contains("p2p.observers is for validators"), "{text}");
    let text = problems("[node]\nrole = \"observers\"\n", &[]);
    assert!(text.contains("node.role") && text.contains("validator"), "{text}");
}
