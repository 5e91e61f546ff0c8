//! A tool for tests: it does what its flag files say, as a process of its own or as a persistent worker, in both
//! protocols, one request at a time or many. It knows the protocol from its description alone, not from our code.
//!
//! `persistent_tool [--json] [--multiplex] [--persistent_worker | @FILE...]`; what the lines of a file mean is in `work`.

#![allow(
    clippy::unwrap_used,
    clippy::unit_arg,
    reason = "a tool for tests: what cannot be is best seen by its end"
)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message;
use serde_json::{Value, json};

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "1")]
    arguments: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    inputs: Vec<Input>,
    #[prost(int32, tag = "3")]
    id: i32,
    #[prost(bool, tag = "4")]
    cancel: bool,
    #[prost(string, tag = "6")]
    sandbox: String,
}

#[derive(Clone, PartialEq, Message)]
struct Input {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(int32, tag = "1")]
    exit_code: i32,
    #[prost(string, tag = "2")]
    output: String,
    #[prost(int32, tag = "3")]
    id: i32,
    #[prost(bool, tag = "4")]
    was_cancelled: bool,
}

/// What all requests to this process share.
#[derive(Default)]
struct Shared {
    is_json: bool,
    begun: AtomicUsize,
    ended: AtomicUsize,
    given_up: Mutex<HashSet<i32>>,
    memory: Mutex<HashMap<String, String>>,
    ballast: Mutex<Vec<u8>>,
    output: Mutex<()>,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let shared = Arc::new(Shared {
        is_json: has("--json"),
        ..Shared::default()
    });
    if !has("--persistent_worker") {
        return run_once(&shared, &arguments);
    }
    let mut input = io::stdin().lock();
    while let Some(request) = read_request(&mut input, shared.is_json)? {
        if request.cancel {
            shared.given_up.lock().unwrap().insert(request.id);
        } else if has("--multiplex") {
            let shared = shared.clone();
            std::thread::spawn(move || shared.serve(&request));
        } else {
            shared.serve(&request);
        }
    }
    Ok(())
}

/// As any command: reads its flag files itself.
fn run_once(shared: &Shared, arguments: &[String]) -> io::Result<()> {
    let mut request = Request::default();
    for file in arguments.iter().filter_map(|argument| argument.strip_prefix('@')) {
        request
            .arguments
            .extend(fs::read_to_string(file)?.lines().map(str::to_owned));
    }
    let response = shared.work(&request, true);
    eprint!("ordinary {}", response.output);
    std::process::exit(response.exit_code)
}

fn read_request(from: &mut impl BufRead, is_json: bool) -> io::Result<Option<Request>> {
    if is_json {
        let mut line = String::new();
        return match from.read_line(&mut line)? {
            0 => Ok(None),
            _ => Ok(Some(from_json(&serde_json::from_str(&line)?))),
        };
    }
    let mut length = 0usize;
    for shift in (0..).step_by(7) {
        let mut byte = [0];
        if from.read(&mut byte)? == 0 {
            return Ok(None);
        }
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some(Request::decode(&bytes[..])?))
}

fn from_json(value: &Value) -> Request {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
    Request {
        arguments: list("arguments").iter().map(text).collect(),
        inputs: list("inputs")
            .iter()
            .map(|input| Input {
                path: text(&input["path"]),
                digest: text(&input["digest"]).into_bytes(),
            })
            .collect(),
        id: value["requestId"].as_i64().unwrap_or_default() as i32,
        cancel: value["cancel"].as_bool().unwrap_or_default(),
        sandbox: text(&value["sandboxDir"]),
    }
}

impl Shared {
    fn serve(&self, request: &Request) {
        let response = self.work(request, false);
        self.ended.fetch_add(1, Ordering::SeqCst);
        self.answer(&response);
    }

    fn answer(&self, response: &Response) {
        let bytes = match self.is_json {
            false => response.encode_length_delimited_to_vec(),
            true => json!({
                "exitCode": response.exit_code,
                "output": response.output,
                "requestId": response.id,
                "wasCancelled": response.was_cancelled,
            })
            .to_string()
            .into_bytes(),
        };
        self.print(&bytes);
    }

    fn print(&self, bytes: &[u8]) {
        let _one_at_a_time = self.output.lock().unwrap();
        let mut output = io::stdout();
        // Whoever does not listen any more has no use for it.
        let _ = output.write_all(bytes).and_then(|()| output.flush());
    }

    /// One line, one step. Paths are relative to the request's directory.
    fn work(&self, request: &Request, is_ordinary: bool) -> Response {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let mut response = Response {
            id: request.id,
            output: format!("request {begun}\n"),
            ..Response::default()
        };
        let base = PathBuf::from(&request.sandbox);
        let mut text = String::new();
        for line in &request.arguments {
            let (step, value) = line.split_once('=').unwrap_or((line, ""));
            let path = base.join(value);
            let done = match step {
                "in" => fs::read_to_string(&path).map(|read| text += &read),
                "out" => write(&path, &text),
                "say" => Ok(response.output += &format!("{value}\n")),
                "list" => {
                    list(&path, &base).map(|found| response.output += &format!("{}\n", found.join(" ")))
                }
                "inputs" => {
                    let told = request.inputs.iter();
                    let told = told
                        .map(|input| format!("{}:{}\n", input.path, String::from_utf8_lossy(&input.digest)));
                    Ok(response.output.extend(told))
                }
                "remember" => {
                    let before = self
                        .memory
                        .lock()
                        .unwrap()
                        .insert("it".to_owned(), value.to_owned());
                    Ok(response.output += &format!("remembered {before:?}\n"))
                }
                "grow" => Ok(self
                    .ballast
                    .lock()
                    .unwrap()
                    .resize(value.parse::<usize>().unwrap() << 20, 1)),
                "remove" => fs::remove_file(&path),
                "exit" => Ok(response.exit_code = value.parse().unwrap()),
                // A request that is served by a persistent process alone does these.
                _ if is_ordinary => Ok(()),
                "crash" => std::process::exit(9),
                "garbage" => Ok(self.print(&b"this is no answer. ".repeat(20))),
                "wrong-id" => Ok(response.id += 1000),
                "until-ended" => Ok(wait(|| {
                    self.ended.load(Ordering::SeqCst) >= value.parse().unwrap()
                })),
                "hang" => Ok(wait(|| self.given_up.lock().unwrap().contains(&request.id))),
                "deaf" => Ok(wait(|| false)),
                _ => Err(io::Error::other("what does this line mean?")),
            };
            if let Err(error) = done {
                response.exit_code = 1;
                response.output += &format!("{line}: {error}\n");
                break;
            }
        }
        response.was_cancelled = self.given_up.lock().unwrap().remove(&request.id);
        response
    }
}

fn wait(until: impl Fn() -> bool) {
    while !until() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

/// Every file below a directory, relative to the base.
fn list(directory: &Path, base: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let start = match directory.as_os_str().as_bytes() {
        b"" => Path::new("."),
        _ => directory,
    };
    for entry in fs::read_dir(start)? {
        let path = directory.join(entry?.file_name());
        match path.symlink_metadata()?.is_dir() {
            true => found.extend(list(&path, base)?),
            false => found.push(path.strip_prefix(base).unwrap_or(&path).display().to_string()),
        }
    }
    found.sort();
    Ok(found)
}
