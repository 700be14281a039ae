//! A real browser, driven over the DevTools protocol: as much of it as tests of pages need.

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

use crate::wait::{PATIENCE, between_looks, until};

/// Programs that are browsers of the right kind, the smallest first.
const PROGRAMS: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

/// How long a read from the browser waits before whoever waits looks at the time.
const READ_TIMEOUT: Duration = Duration::from_millis(200);

/// Most complaints of a page that are kept; the first ones say most.
const MAX_COMPLAINTS: usize = 50;

/// A browser with one page. Closed when dropped.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    /// Its files, gone with it.
    _profile: TempDir,
    socket: WebSocket<TcpStream>,
    /// Of the page.
    session: Option<String>,
    requests: u64,
    complaints: VecDeque<String>,
}

/// The browser that `CHROMIUM` names, or the first one in `PATH`.
fn program() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("CHROMIUM").filter(|given| !given.is_empty()) {
        return Some(given.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let places = PROGRAMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

impl Browser {
    /// Starts a browser with an empty page. Without one on this machine it says on standard error what is left
    /// out and what to do, and answers `None`.
    ///
    /// # Panics
    /// If there is one that does not start.
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
        // Its sandbox refuses to run as root, and shows here nothing but our own pages.
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
        let socket = until("the browser tells its port", PATIENCE, || {
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

    /// Goes to an address and waits until the page is there.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn go_to(&mut self, url: &str) {
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        self.wait_for(url, "document.readyState === 'complete' && location.protocol !== 'about:'");
    }

    /// The value of an expression in the page; null for what JSON cannot say.
    ///
    /// # Panics
    /// If it throws.
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
    /// If it does not become so, with what the page says instead.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, expression: &str) {
        let start = Instant::now();
        let holds = format!("Boolean({expression})");
        // While the page changes there is nothing to ask, or not what was meant.
        while self.try_evaluate(&holds).map_or(true, |answer| answer["result"]["value"] != true) {
            if start.elapsed() > PATIENCE {
                let text = self.evaluate("document.body.innerText");
                let complaints = &self.complaints;
                panic!("waited in vain for {what}; the page complains {complaints:?} and says: {text}");
            }
            between_looks();
        }
    }

    /// Chooses a file in a form.
    ///
    /// # Panics
    /// If there is no such field.
    #[track_caller]
    pub fn choose_file(&mut self, selector: &str, file: &Path) {
        let root = self.call("DOM.getDocument", &json!({}))["root"]["nodeId"].clone();
        let field = self.call("DOM.querySelector", &json!({ "nodeId": root, "selector": selector }));
        let parameters = json!({ "nodeId": field["nodeId"], "files": [file] });
        self.call("DOM.setFileInputFiles", &parameters);
    }

    /// Makes the window so large, in CSS pixels.
    #[track_caller]
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Errors of scripts, refused loads and violated policies since the last call.
    pub fn complaints(&mut self) -> Vec<String> {
        // What came before an answer has been read with it.
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
            assert!(start.elapsed() < PATIENCE, "the browser does not answer {method}");
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

/// The browser writes its port and path into a file, perhaps not at once.
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
        // It takes its helpers along when it is asked; whatever is left of it then is killed.
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
