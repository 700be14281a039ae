//! A real browser, controlled with the DevTools protocol: only what tests of pages need.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

use crate::wait::{WAIT_LIMIT, between_looks, until};

/// Suitable browser programs, the smallest first.
const PROGRAMS: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

/// Time limit of one read from the browser. Afterwards the waiting code checks its own time limit.
const READ_TIMEOUT: Duration = Duration::from_millis(200);

/// Upper limit of complaints of a page that are kept; the first ones are the most useful.
const MAX_COMPLAINTS: usize = 50;

/// A browser with one page. Closed when dropped.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    /// Its files, deleted with it.
    _profile: TempDir,
    socket: WebSocket<TcpStream>,
    /// The session of the page.
    session: Option<String>,
    requests: u64,
    complaints: VecDeque<String>,
}

/// The browser in `CHROMIUM`, or the first one in `PATH`.
fn program() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("CHROMIUM").filter(|given| !given.is_empty()) {
        return Some(given.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let places = PROGRAMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

impl Browser {
    /// Starts a browser with an empty page. If this machine has no browser, prints to standard
    /// error which tests are skipped and what to do, and returns `None`.
    ///
    /// # Panics
    /// If the browser does not start.
    pub fn start() -> Option<Browser> {
        let Some(program) = program() else {
            eprintln!(
                "SKIPPED: there is no Chromium in PATH, so the pages were NOT tested in a browser. Install one \
                 (Debian: apt-get install --no-install-recommends chromium-headless-shell), or name it in the \
                 environment variable CHROMIUM."
            );
            return None;
        };
        let profile = TempDir::new().expect("a temporary directory can be made");
        let mut folder = OsString::from("--user-data-dir=");
        folder.push(profile.path());
        let mut command = Command::new(&program);
        command.args(["--headless", "--remote-debugging-port=0", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-extensions"]);
        // The browser's sandbox does not run as root. It displays only this project's own pages
        // here.
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        command
            .arg(folder)
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process =
            command.spawn().unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
        let address = profile.path().join("DevToolsActivePort");
        let socket = until("the browser writes its port", WAIT_LIMIT, || {
            if let Some(status) = process.try_wait().expect("a child can be waited for") {
                panic!("{} ended while it started: {status}", program.display());
            }
            connect(&address)
        });
        let (session, complaints) = (None, VecDeque::new());
        let mut browser = Browser { process, _profile: profile, socket, session, requests: 0, complaints };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let parameters = json!({ "targetId": target["targetId"], "flatten": true });
        let session =
            browser.call("Target.attachToTarget", &parameters)["sessionId"].as_str().map(str::to_owned);
        browser.session = session;
        for domain in ["Page", "Runtime", "Log", "DOM"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Opens an address and waits until the page is loaded.
    ///
    /// # Panics
    /// If the page cannot be loaded.
    #[track_caller]
    pub fn go_to(&mut self, url: &str) {
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        self.wait_for(url, "document.readyState === 'complete' && location.protocol !== 'about:'");
    }

    /// The value of an expression in the page; null for values that JSON cannot represent.
    ///
    /// # Panics
    /// If the expression throws.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.try_evaluate(expression).expect("the page is there");
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    fn try_evaluate(&mut self, expression: &str) -> Result<Value, Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.try_call("Runtime.evaluate", &parameters)
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Panics
    /// If it does not become true in time; the message contains the text of the page.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, expression: &str) {
        let start = Instant::now();
        let holds = format!("Boolean({expression})");
        // While the page loads, there is no document, or still the previous one.
        while self.try_evaluate(&holds).map_or(true, |answer| answer["result"]["value"] != true) {
            if start.elapsed() > WAIT_LIMIT {
                let text = self.evaluate("document.body.innerText");
                let complaints = &self.complaints;
                panic!("timed out waiting for {what}; complaints: {complaints:?}; text of the page: {text}");
            }
            between_looks();
        }
    }

    /// Chooses a file in a form.
    ///
    /// # Panics
    /// If the page has no such field.
    #[track_caller]
    pub fn choose_file(&mut self, selector: &str, file: &Path) {
        let root = self.call("DOM.getDocument", &json!({}))["root"]["nodeId"].clone();
        let field = self.call("DOM.querySelector", &json!({ "nodeId": root, "selector": selector }));
        let parameters = json!({ "nodeId": field["nodeId"], "files": [file] });
        self.call("DOM.setFileInputFiles", &parameters);
    }

    /// Resizes the window, in CSS pixels.
    #[track_caller]
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Script errors, refused loads and policy violations since the last call.
    pub fn complaints(&mut self) -> Vec<String> {
        // Events that precede a response are read with the response.
        self.evaluate("null");
        self.complaints.drain(..).collect()
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, parameters: &Value) -> Result<Value, Value> {
        self.requests += 1;
        let id = self.requests;
        let mut request = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(request.to_string())).expect("the browser takes requests");
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < WAIT_LIMIT, "the browser does not respond to {method}");
            let text = match self.socket.read() {
                Ok(Message::Text(text)) => text,
                Ok(_) => continue,
                Err(Error::Io(error)) if is_timeout(&error) => continue,
                Err(error) => panic!("the browser is gone: {error}"),
            };
            let mut message: Value = serde_json::from_str(&text).expect("the browser speaks JSON");
            if message["id"] != id {
                self.listen(&message);
            } else if message.get("error").is_some() {
                return Err(message["error"].take());
            } else {
                return Ok(message["result"].take());
            }
        }
    }

    fn listen(&mut self, event: &Value) {
        let parameters = &event["params"];
        let is_complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                parameters["type"] == "error" || parameters["type"] == "warning"
            }
            Some("Log.entryAdded") => parameters["entry"]["level"] == "error",
            _ => false,
        };
        if is_complaint && self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push_back(parameters.to_string());
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The browser writes its port and path into a file, after some delay.
fn connect(address: &Path) -> Option<WebSocket<TcpStream>> {
    let text = std::fs::read_to_string(address).ok()?;
    let (port, path) = text.split_once('\n')?;
    let stream = TcpStream::connect(("127.0.0.1", port.parse().ok()?)).ok()?;
    let url = format!("ws://127.0.0.1:{port}{}", path.trim());
    let (socket, _) = client(url, stream).ok()?;
    socket.get_ref().set_read_timeout(Some(READ_TIMEOUT)).ok()?;
    Some(socket)
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends its helper processes when it is closed this way. What remains afterwards
        // is killed.
        let close = json!({ "id": 0, "method": "Browser.close" }).to_string();
        let _ = self.socket.send(Message::text(close));
        let start = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(5) {
            between_looks();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
