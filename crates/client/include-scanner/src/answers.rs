//! What only the compiler can say: whether it has a builtin, an attribute, a feature. Asked once, then remembered.

use std::collections::HashMap;

/// A question as it stands in a condition: `__has_builtin(__builtin_expect)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// `__has_builtin`
    pub operator: Box<str>,
    /// What is in the parentheses, blanks removed.
    pub argument: Box<str>,
}

/// The answers of one compiler under one set of options.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    values: HashMap<Question, i64>,
}

impl Answers {
    /// What the compiler says, if it was asked.
    pub fn get(&self, question: &Question) -> Option<i64> {
        self.values.get(question).copied()
    }

    /// Remembers an answer.
    pub fn insert(&mut self, question: Question, value: i64) {
        self.values.insert(question, value);
    }

    /// Every question with its answer, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Question, i64)> {
        self.values.iter().map(|(question, value)| (question, *value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
