//! Messages as JSON objects, one after the other, by the JSON mapping of protobuf.

use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::Rubbish;
use crate::persistent::message::{WorkRequest, WorkResponse};

/// One object on a line of its own. As the mapping asks, what is not set is left out; but both lists are there, as every
/// reader knows them.
pub(super) fn encode(request: &WorkRequest) -> Vec<u8> {
    let WorkRequest {
        arguments,
        inputs,
        request_id,
        cancel,
        verbosity,
        sandbox_dir,
    } = request;
    let mut object = Map::new();
    if *cancel {
        object.insert("cancel".to_owned(), true.into());
    } else {
        let inputs: Vec<Value> = inputs
            .iter()
            .map(|input| json!({ "path": input.path, "digest": BASE64_STANDARD.encode(&input.digest) }))
            .collect();
        object.insert("arguments".to_owned(), json!(arguments));
        object.insert("inputs".to_owned(), inputs.into());
    }
    for (name, number) in [("requestId", *request_id), ("verbosity", *verbosity)] {
        if number != 0 {
            object.insert(name.to_owned(), number.into());
        }
    }
    if !sandbox_dir.is_empty() {
        object.insert("sandboxDir".to_owned(), sandbox_dir.as_str().into());
    }
    let mut bytes = Value::Object(object).to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

/// A whole object. Fields we do not know are no mistake.
pub(super) fn decode(bytes: &[u8]) -> Result<WorkResponse, Rubbish> {
    let object: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| rubbish(&error.to_string()))?;
    // The mapping's names, and those of the protocol, which readers take as well.
    let field = |names: &[&str]| {
        let found = names.iter().find_map(|name| object.get(*name));
        found.filter(|value| !value.is_null())
    };
    let number = |names: &[&str]| match field(names) {
        None => Ok(0),
        Some(value) => integer(value).ok_or_else(|| rubbish(&format!("{} is no 32-bit number", names[0]))),
    };
    let output = match field(&["output"]) {
        None => String::new(),
        Some(Value::String(output)) => output.clone(),
        Some(_) => return Err(rubbish("output is no text")),
    };
    let was_cancelled = match field(&["wasCancelled", "was_cancelled"]) {
        None => false,
        Some(Value::Bool(was_cancelled)) => *was_cancelled,
        Some(_) => return Err(rubbish("wasCancelled is neither true nor false")),
    };
    Ok(WorkResponse {
        exit_code: number(&["exitCode", "exit_code"])?,
        output,
        request_id: number(&["requestId", "request_id"])?,
        was_cancelled,
    })
}

/// The mapping takes numbers in quotes too.
fn integer(value: &Value) -> Option<i32> {
    match value {
        Value::Number(number) => number.as_i64()?.try_into().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn rubbish(reason: &str) -> Rubbish {
    Rubbish::NoAnswer {
        reason: reason.to_owned(),
    }
}

/// Finds the end of an object that comes in pieces, looking at each byte once.
#[derive(Default)]
pub(super) struct Scanner {
    /// Bytes looked at.
    seen: usize,
    start: Option<usize>,
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

impl Scanner {
    /// Where the first object in `buffer` is, of which what was seen before has not changed. `None` if it is not whole.
    pub(super) fn next(&mut self, buffer: &[u8]) -> Result<Option<Range<usize>>, Rubbish> {
        for (index, byte) in buffer.iter().enumerate().skip(self.seen) {
            self.seen = index + 1;
            match (self.start, byte) {
                (None, b' ' | b'\t' | b'\r' | b'\n') => {}
                (None, b'{') => (self.start, self.depth) = (Some(index), 1),
                (None, _) => return Err(rubbish("it is no JSON object")),
                (Some(start), _) if self.closes(*byte) => return Ok(Some(start..index + 1)),
                (Some(_), _) => {}
            }
        }
        Ok(None)
    }

    fn closes(&mut self, byte: u8) -> bool {
        match (self.in_text, byte) {
            (true, _) if self.is_escaped => self.is_escaped = false,
            (true, b'\\') => self.is_escaped = true,
            (_, b'"') => self.in_text = !self.in_text,
            (false, b'{') => self.depth += 1,
            (false, b'}') => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}
