//! An answer: its name, its parts as they are published, and what they have come to so far.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of an answer: 128 random bits, so that nobody can guess it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AnswerId(String);

impl AnswerId {
    /// A new name.
    ///
    /// # Errors
    ///
    /// When the system provides no random numbers.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)?;
        Ok(Self(bits.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The topic of the answer's parts.
    pub(crate) fn topic(&self) -> String {
        format!("answer:{self}")
    }
}

impl fmt::Display for AnswerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the name of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParseAnswerIdError;

impl FromStr for AnswerId {
    type Err = ParseAnswerIdError;

    fn from_str(text: &str) -> Result<Self, ParseAnswerIdError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() == 32 && text.bytes().all(is_hex) {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseAnswerIdError),
        }
    }
}

/// One event of an answer's topic. `begun` is the first, `ended` the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Part {
    Begun(Begun),
    Token(String),
    Ended(End),
}

/// What is known before the first token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Begun {
    pub(crate) model: String,
    /// In seconds since 1970.
    pub(crate) created: u64,
    pub(crate) question: String,
}

impl Begun {
    /// How much the question costs. To this model, a word is a token.
    pub(crate) fn tokens(&self) -> usize {
        self.question.split_whitespace().count()
    }
}

/// How an answer has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum End {
    /// The model had no more to say.
    Done,
    /// Somebody has said stop.
    Stopped,
    /// The model has failed, with this message.
    Failed(String),
}

/// What the parts of an answer have come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) id: AnswerId,
    pub(crate) begun: Begun,
    pub(crate) text: String,
    pub(crate) tokens: usize,
    pub(crate) end: Option<End>,
}

/// The first part is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoBeginning;

impl fmt::Display for NoBeginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the beginning of the answer is gone")
    }
}

impl std::error::Error for NoBeginning {}

impl Answer {
    /// Takes the next part, of which the first makes the answer.
    pub(crate) fn take<'a>(
        answer: &'a mut Option<Self>,
        id: &AnswerId,
        part: &Part,
    ) -> Result<&'a Self, NoBeginning> {
        if let (None, Part::Begun(begun)) = (&answer, part) {
            let begun = begun.clone();
            let (id, text, tokens) = (id.clone(), String::new(), 0);
            *answer = Some(Self { id, begun, text, tokens, end: None });
        }
        let answer = answer.as_mut().ok_or(NoBeginning)?;
        match part {
            Part::Begun(_) => {}
            Part::Token(token) => {
                answer.text.push_str(token);
                answer.tokens += 1;
            }
            Part::Ended(end) => answer.end = Some(end.clone()),
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_are_the_same_and_each_is_read_again() {
        let [one, other] = [AnswerId::random().unwrap(), AnswerId::random().unwrap()];
        assert_ne!(one, other);
        assert_eq!(one.to_string().parse(), Ok(one));
        for wrong in ["", "17", "*", &"x".repeat(32), &"A".repeat(32), &"0".repeat(33)] {
            assert_eq!(wrong.parse::<AnswerId>(), Err(ParseAnswerIdError), "{wrong}");
        }
    }

    #[test]
    fn an_answer_without_its_beginning_is_none() {
        let id = AnswerId::random().unwrap();
        let token = Part::Token("late".to_owned());
        assert_eq!(Answer::take(&mut None, &id, &token), Err(NoBeginning));
    }
}
