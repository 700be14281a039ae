//! Every command that submits an operation, against a running network.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use quorate_api::{Membership, ValidatorSigningState};
use quorate_e2e::{Finished, Invocation, Network, WAIT_LIMIT, until, wait_until};
use quorate_ledger::SecretKey;
use serde_json::{Value, json};

/// An operator at the directory of a network, with the governance keys of all members.
struct Operator {
    network: Network,
}

impl Operator {
    /// A network of four validators that run.
    fn new() -> Self {
        Operator { network: Network::running(4) }
    }

    /// Runs a command with the genesis, the JSON-RPC of validator-0, and these arguments at its end.
    /// Only validator-1 is restarted, and starts again by itself when its key changes.
    fn run_with(&self, line: &str, last: &[&str]) -> Finished {
        let mut command = Invocation::new(line.split_whitespace()).current_dir(self.network.directory());
        for argument in last {
            command = command.arg(argument);
        }
        command.arg("--rpc").arg(&self.network.validators()[0].rpc).run()
    }

    /// Runs a command that submits, signed with the governance key of a member.
    fn run_as(&self, member: usize, line: &str) -> Finished {
        let key = self.governance_file(member);
        let key = key.to_str().unwrap();
        self.run_with(
            line,
            &["--genesis", "genesis.toml", "--timeout", "60s", "--output", "json", "--key", key],
        )
    }

    /// The same without a key, as a dry run.
    fn dry_run(&self, line: &str) -> Finished {
        self.run_with(line, &["--genesis", "genesis.toml", "--output", "json", "--dry-run"])
    }

    fn governance_file(&self, member: usize) -> PathBuf {
        self.network.validators()[member].home.join("governance.pem")
    }

    /// The result of a submission that was executed.
    fn executed(&self, member: usize, line: &str) -> Value {
        let acted = self.run_as(member, line).json();
        assert_eq!(acted["status"], json!("committed"), "{line}: {acted}");
        assert_eq!(acted["outcome"], json!({ "result": "executed" }), "{line}: {acted}");
        acted
    }

    /// A submission that a block contains and that failed for this reason.
    fn failed(&self, member: usize, line: &str, reason: &str) {
        let finished = self.run_as(member, line).expect_code(3);
        let acted: Value = serde_json::from_str(&finished.stdout).unwrap();
        assert_eq!(acted["outcome"]["reason"], json!(reason), "{line}: {acted}");
    }

    /// Proposes as member 0, and approves as members 1 and 2. Waits until the change is in effect.
    fn decide(&self, line: &str) {
        let proposed = self.executed(0, line);
        assert_eq!(proposed["proposal"]["approvals_missing"], json!(2), "{proposed}");
        let id = proposed["id"].as_str().unwrap();
        let approved = self.executed(1, &format!("governance approve {id}"));
        assert_eq!(approved["proposal"]["approvals_missing"], json!(1), "{approved}");
        let decided = self.executed(2, &format!("governance approve {id}"));
        assert_eq!(decided["proposal"], Value::Null, "{decided}");
        self.wait_for_height(&decided["effective_from"]);
    }

    /// Waits until a change with this effective height judges the next block.
    fn wait_for_height(&self, effective_from: &Value) {
        let from = effective_from.as_u64().expect("the change is decided");
        wait_until("the change takes effect without other traffic", || {
            self.status()["height"].as_u64() >= Some(from - 1)
        });
    }

    fn status(&self) -> Value {
        self.run_with("governance status", &["--output", "json"]).json()
    }

    fn wait_for_epoch(&self, epoch: u64) {
        for index in 0..4 {
            let rpc = self.network.rpc(index);
            until(&format!("validator-{index} votes in epoch {epoch}"), WAIT_LIMIT, || {
                let status = rpc.try_status()?;
                let votes = status.signing_state == Some(ValidatorSigningState::Voting);
                (status.epoch == epoch && votes && status.membership == Some(Membership::Member))
                    .then_some(())
            });
        }
    }

    /// Writes a new key file, and returns its public key.
    fn new_key(&self, file: &str) -> String {
        let key = SecretKey::generate();
        let file = self.network.directory().join(file);
        fs::write(&file, key.to_pem(None).as_str()).unwrap();
        // The program refuses a key that other users can read.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        key.public().to_string()
    }
}

const UNKNOWN: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

#[test]
fn a_parameter_is_proposed_approved_withdrawn_and_set() {
    let operator = Operator::new();
    let set = "governance set governance.max_clients 5000";
    let dry = operator.dry_run(set).json();
    assert_eq!((&dry["submitted"], &dry["refused"]), (&json!(false), &json!(false)));
    assert_eq!(dry["preview"]["approvals_needed"], json!(3), "{dry}");
    assert_eq!(operator.status()["open_proposals"], json!(0), "a dry run submits nothing");
    let impossible = operator.dry_run("governance set consensus.window 0").expect_code(3);
    assert!(impossible.stdout.contains("\"refused\": true"), "{impossible}");
    operator.run_as(0, "governance set consensus.windows 4").expect_error(&["governance cannot change"]);

    let id = operator.executed(0, set)["id"].as_str().unwrap().to_owned();
    let (approve, withdraw) = (format!("governance approve {id}"), format!("governance withdraw {id}"));
    let missing = |acted: &Value| acted["proposal"]["approvals_missing"].clone();
    assert_eq!(missing(&operator.executed(1, &approve)), json!(1));
    assert_eq!(missing(&operator.executed(1, &approve)), json!(1), "approving twice is once");
    assert_eq!(missing(&operator.executed(1, &withdraw)), json!(2));
    assert!(operator.dry_run(&approve).json()["preview"].is_object());
    assert!(operator.dry_run(&withdraw).json()["preview"].is_object());
    let shown = operator.run_with(&format!("governance show {id}"), &[]).expect_code(0);
    assert!(shown.stdout.contains("validator-0"), "{shown}");

    // Wrong ids and wrong keys cost no transaction.
    let height = operator.status()["height"].clone();
    for what in ["approve", "withdraw"] {
        operator
            .run_as(1, &format!("governance {what} {UNKNOWN}"))
            .expect_error(&["no open proposal has the id"]);
    }
    operator.new_key("stranger.pem");
    let stranger = operator.run_with(&approve, &["--key", "stranger.pem"]);
    stranger.expect_error(&["is not the governance key of a member", "validator-0"]);
    assert_eq!(operator.status()["height"], height);

    operator.executed(1, &approve);
    // For people: the last approval prints what it decided.
    let key = operator.governance_file(2);
    let last = operator.run_with(&approve, &["--key", key.to_str().unwrap()]).expect_code(0);
    assert!(last.stdout.contains("executed") && last.stdout.contains("takes effect  decided"), "{last}");
    operator.run_as(3, &approve).expect_error(&["no open proposal has the id"]);
    wait_until("the parameter is set", || {
        operator.status()["parameters"]["governance.max_clients"] == json!(5000)
    });
    assert_eq!(operator.status()["open_proposals"], json!(0));
}

#[test]
fn clients_are_added_limited_removed_and_revoked() {
    let operator = Operator::new();
    let (till, other) = (operator.new_key("till.pem"), operator.new_key("other.pem"));
    let add = format!("client add {till} --name till");
    assert_eq!(operator.dry_run(&add).json()["submitted"], json!(false));
    operator.wait_for_height(&operator.executed(0, &add)["effective_from"]);
    operator.failed(0, &add, "client_exists");

    let quota = format!("client quota {till} --transactions 5 --bytes 4000");
    assert_eq!(operator.dry_run(&quota).json()["submitted"], json!(false));
    operator.wait_for_height(&operator.executed(0, &quota)["effective_from"]);
    operator.failed(1, &quota, "not_your_client");
    let listed = operator.run_with("client list", &["--output", "json"]).json();
    let client = |listed: &Value, key: &str| {
        let clients = listed.as_array().unwrap().iter();
        clients.clone().find(|client| client["key"] == json!(key)).cloned()
    };
    assert_eq!(client(&listed, &till).unwrap()["quota"], json!({ "transactions": 5, "bytes": 4000 }));

    operator.wait_for_height(
        &operator.executed(1, &format!("client add {other} --name other"))["effective_from"],
    );
    let revoke = format!("client revoke {other}");
    assert_eq!(operator.dry_run(&revoke).json()["preview"]["starts_epoch"], json!(false));
    operator.decide(&revoke);
    operator.failed(1, &format!("client add {other} --name other"), "client_revoked");

    let remove = format!("client remove {till}");
    assert_eq!(operator.dry_run(&remove).json()["submitted"], json!(false));
    operator.wait_for_height(&operator.executed(0, &remove)["effective_from"]);
    operator.failed(0, &remove, "unknown_client");
    let listed = operator.run_with("client list", &["--output", "json"]).json();
    assert_eq!(client(&listed, &till), None);
    assert_eq!(client(&listed, &other).unwrap()["revoked"], json!(true));
    assert_eq!(operator.status()["epoch"], json!(0), "clients change without an epoch");
}

#[test]
fn members_are_proposed_and_their_keys_replaced_renewed_and_rotated() {
    let mut operator = Operator::new();
    // validator-1 reads its next key when it starts.
    let next = operator.new_key("next.pem");
    let network = &mut operator.network;
    fs::copy(network.directory().join("next.pem"), network.validators()[1].home.join("next-key.pem"))
        .unwrap();
    network.stop(1);
    network.start_all();

    // A candidate whose node does not run: READY by hand, for the newest block of another node.
    let candidate = operator.new_key("candidate.pem");
    let add = format!("validator add {candidate} --name bank-e");
    assert_eq!(operator.dry_run(&add).json()["preview"]["after"]["members"], json!(5));
    let proposed = operator.executed(0, &add);
    let id = proposed["id"].as_str().unwrap();
    assert_eq!(proposed["proposal"]["candidates"][0]["ready"], json!(false));
    wait_until("the candidate may send READY", || {
        let dry = operator.run_with(&format!("governance show {id}"), &["--output", "json"]).json();
        let window = operator.status()["parameters"]["consensus.window"].as_u64().unwrap();
        operator.status()["height"].as_u64().unwrap() >= dry["height"].as_u64().unwrap() + window
    });
    let ready = format!("validator ready --candidate {}", operator.network.validators()[3].rpc);
    let as_candidate = |key: &str| {
        operator.run_with(&ready, &["--genesis", "genesis.toml", "--output", "json", "--key", key])
    };
    assert_eq!(operator.dry_run(&ready).json()["submitted"], json!(false));
    assert_eq!(as_candidate("candidate.pem").json()["outcome"], json!({ "result": "executed" }));
    operator.new_key("stranger.pem");
    as_candidate("stranger.pem").expect_error(&["sender_unknown"]);
    let shown = operator.run_with(&format!("governance show {id}"), &["--output", "json"]).json();
    assert_eq!(shown["candidates"][0]["ready"], json!(true), "{shown}");
    operator.executed(0, &format!("governance withdraw {id}"));
    operator.run_with(&format!("governance show {id}"), &[]).expect_code(3);

    // Four validators: none may leave. Nothing is submitted.
    let refused = operator.run_as(0, "validator remove validator-3").expect_code(3);
    assert!(refused.stdout.contains("\"submitted\": false"), "{refused}");
    operator.dry_run("validator remove validator-3").expect_code(3);
    operator.run_as(0, "validator remove validator-9").expect_error(&["no member is called validator-9"]);
    operator.run_as(0, "validator replace validator-9 --governance-key").expect_code(2);

    // The governance key of a member is lost: the others replace it.
    let replacement = operator.new_key("replacement.pem");
    let replace = format!("validator replace validator-3 --governance-key {replacement}");
    assert_eq!(operator.dry_run(&replace).json()["preview"]["starts_epoch"], json!(true));
    operator.decide(&replace);
    operator.wait_for_epoch(1);
    operator.run_as(3, "validator renew").expect_error(&["is not the governance key of a member"]);

    assert_eq!(operator.dry_run("validator renew").json()["submitted"], json!(false));
    operator.wait_for_height(&operator.executed(2, "validator renew")["effective_from"]);
    operator.wait_for_epoch(2);
    operator.failed(2, "validator renew", "too_soon");

    let rotate = "validator rotate --new-key next.pem";
    operator.dry_run(rotate).expect_error(&["needs --key"]);
    operator.wait_for_height(&operator.executed(1, rotate)["effective_from"]);
    operator.wait_for_epoch(3);
    assert_eq!(operator.network.rpc(1).status().public_key.to_string(), next);
    operator.failed(0, rotate, "key_in_use");

    let history = operator.run_with("governance history --limit 100", &["--output", "json"]).json();
    let operations = history["operations"].as_array().unwrap();
    let failed = operations.iter().filter(|operation| operation["outcome"]["result"] == json!("failed"));
    assert_eq!(failed.count(), 2, "{history}");
}
