//! Administration at the Unix socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use quorate_api::ADMIN_METHODS;
use quorate_rpc::{AdminServer, AdminStartError, Administration, serve_admin};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::support::TIME_LIMIT;
use crate::tools::web::{Site, checked_error};

const README: &str = include_str!("../../../README.md");

struct Switch(Mutex<String>);

impl Administration for Switch {
    fn log_level(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn set_log_level(&self, level: &str) -> Result<String, String> {
        match level {
            "loud" => Err("\"loud\" is not understood".to_owned()),
            level => Ok(std::mem::replace(&mut self.0.lock().unwrap(), level.to_owned())),
        }
    }
}

fn start(path: &Path) -> Result<AdminServer, AdminStartError> {
    serve_admin(path, Arc::new(Switch(Mutex::new("info".to_owned()))))
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    (directory, path)
}

async fn post(path: &Path, body: &str) -> Value {
    let asking = async {
        let mut stream = UnixStream::connect(path).await.unwrap();
        let length = body.len();
        let head =
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
        stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(TIME_LIMIT, asking).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

async fn call(path: &Path, method: &str, params: Value) -> Value {
    post(path, &json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()).await
}

#[tokio::test]
async fn the_log_level_is_returned_and_changed() {
    let (_directory, path) = place();
    let server = start(&path).unwrap();
    assert_eq!(call(&path, "admin_log_level", json!([])).await["result"], "info");
    let before = call(&path, "admin_set_log_level", json!({ "level": "debug" })).await;
    assert_eq!(before["result"], "info");
    assert_eq!(call(&path, "admin_log_level", json!([])).await["result"], "debug");
    let error = checked_error(&call(&path, "admin_set_log_level", json!(["loud"])).await);
    assert_eq!(error["data"]["kind"], "invalid_params");
    assert!(error["message"].as_str().unwrap().contains("loud"), "{error}");
    for empty in ["", " "] {
        let error = checked_error(&call(&path, "admin_set_log_level", json!([empty])).await);
        assert_eq!(error["data"]["kind"], "invalid_params");
        assert!(
            error["message"].as_str().unwrap().contains("\"level\" must be a string that is not empty"),
            "{error}"
        );
    }
    assert_eq!(call(&path, "admin_log_level", json!([])).await["result"], "debug", "nothing has changed");
    timeout(TIME_LIMIT, server.shutdown()).await.unwrap();
}

#[tokio::test]
async fn neither_interface_has_the_methods_of_the_other() {
    let (_directory, path) = place();
    let server = start(&path).unwrap();
    let error = checked_error(&call(&path, "chain_head", json!([])).await);
    assert_eq!(error["data"]["kind"], "method_not_found");
    let site = Site::new();
    for method in ADMIN_METHODS {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method.name });
        let error = checked_error(&site.post(request.to_string()).await.json());
        assert_eq!(error["data"]["kind"], "method_not_found", "{}", method.name);
        assert!(error["message"].as_str().unwrap().contains("admin.sock"), "{error}");
    }
    timeout(TIME_LIMIT, server.shutdown()).await.unwrap();
}

#[tokio::test]
async fn only_the_owner_may_use_the_socket_and_it_goes_with_the_server() {
    let (_directory, path) = place();
    let server = start(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    timeout(TIME_LIMIT, server.shutdown()).await.unwrap();
    assert!(!path.exists());
    drop(start(&path).unwrap());
    assert!(
        !path.exists(),
        "the socket is also removed if the server is dropped, as when a later step of the start fails"
    );
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_another_file_is_not() {
    let (directory, path) = place();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "it was killed");
    let server = start(&path).unwrap();
    assert_eq!(call(&path, "admin_log_level", json!([])).await["result"], "info");
    timeout(TIME_LIMIT, server.shutdown()).await.unwrap();

    fs::write(&path, "precious").unwrap();
    assert!(matches!(start(&path), Err(AdminStartError::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let long = directory.path().join("x".repeat(120));
    let error = start(&long).unwrap_err().to_string();
    assert!(error.contains("fewer than 108 bytes"), "{error}");
    let nowhere = start(&directory.path().join("nowhere/admin.sock")).unwrap_err().to_string();
    assert!(nowhere.contains("nowhere/admin.sock") && nowhere.contains("writable directory"), "{nowhere}");
}

/// Every method has a section with its parameters and with examples that work.
#[tokio::test]
async fn the_documentation_of_administration_holds() {
    let (_directory, path) = place();
    let server = start(&path).unwrap();
    let examples: Vec<&str> = README
        .lines()
        .filter_map(|line| {
            line.strip_prefix("curl --unix-socket net/validator-0/admin.sock --json '")?
                .strip_suffix("' http://localhost/")
        })
        .collect();
    for method in ADMIN_METHODS {
        let parameters: Vec<&str> = method.parameters.iter().map(|parameter| parameter.name).collect();
        let signature = format!("`{}({})`", method.name, parameters.join(", "));
        assert!(README.contains(&signature), "{signature}");
        let call = format!(r#""method":"{}""#, method.name);
        let example = examples.iter().find(|example| example.contains(&call)).unwrap();
        let answer = post(&path, example).await;
        assert!(answer["result"].is_string(), "{example}: {answer}");
    }
    timeout(TIME_LIMIT, server.shutdown()).await.unwrap();
}
