//! What is said to a persistent process and what it answers: the messages of Bazel's worker protocol, by their field
//! numbers.

/// One thing to do.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkRequest {
    /// As they would stand in the command's flag files.
    #[prost(string, repeated, tag = "1")]
    pub(crate) arguments: Vec<String>,
    /// Every file that the command may read, also the tool's own.
    #[prost(message, repeated, tag = "2")]
    pub(crate) inputs: Vec<Input>,
    /// Told again in the answer. Zero for a process that takes one request at a time, never zero for others.
    #[prost(int32, tag = "3")]
    pub(crate) request_id: i32,
    /// Nobody wants the request of this id any more. No other field is set then.
    #[prost(bool, tag = "4")]
    pub(crate) cancel: bool,
    /// How much the process should tell; we never want more than nothing.
    #[prost(int32, tag = "5")]
    pub(crate) verbosity: i32,
    /// Where the request's files are, relative to the process's working directory; for multiplex processes alone.
    #[prost(string, tag = "6")]
    pub(crate) sandbox_dir: String,
}

/// A file that a request may read.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Input {
    /// Relative to the working directory, or to where that is below `sandbox_dir`.
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    /// Its hash as lower-case hexadecimal text: that is what Bazel sends.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) digest: Vec<u8>,
}

/// What became of a request.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkResponse {
    /// As the command would have exited.
    #[prost(int32, tag = "1")]
    pub(crate) exit_code: i32,
    /// What it has to say to the user.
    #[prost(string, tag = "2")]
    pub(crate) output: String,
    /// Which request is answered.
    #[prost(int32, tag = "3")]
    pub(crate) request_id: i32,
    /// The request was given up, as it was told to.
    #[prost(bool, tag = "4")]
    pub(crate) was_cancelled: bool,
}
