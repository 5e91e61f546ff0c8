//! The platform property by which an action asks for the path at which it sees its input root.

/// As reclient and others name it. Its value is an absolute path, such as the one at which the client has its sources: then
/// what compilers write into their results about paths is what they would write there.
pub const INPUT_ROOT_PATH: &str = "InputRootAbsolutePath";

/// What a worker announces of it that can show an input root at any path that is not taken; which are is the worker's to
/// say when an action comes.
pub const ANY_INPUT_ROOT_PATH: &str = "*";
