//! A model that costs nothing. It says what the tests ask for, or something about event streams.

use std::fmt;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::time::sleep;

/// What it says to `count to 100`, or `count to 100 and fail`: numbers. To anything else, this.
const ANSWER: &str = "An event stream is a response that does not end. The server writes events as they happen, and the \
    browser hands them to the page.\n\n\
    This answer is one, too. It is not written to the request that asked for it, but to a topic, and every page that shows it \
    reads that topic. Reload this page in the middle: the text is there at once, and goes on. Open it in another tab: both \
    say the same. Close them all, and come back: the answer has been written meanwhile, because nobody said stop.\n\n\
    To say stop is a request of its own. It publishes the last event of the topic, and nothing can follow a last event: not \
    in this tab, not in another, and not from the model, which learns that it is no longer listened to.";

/// However much it is asked for.
const MAX_TOKENS: usize = 10_000;

/// The model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    token_every: Duration,
}

/// The model has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the model has lost its thread")
    }
}

impl Model {
    /// A model that takes this long for a token.
    pub(crate) fn new(token_every: Duration) -> Self {
        Self { token_every }
    }

    /// The answer to a question, token after token.
    pub(crate) fn answer(
        &self,
        question: &str,
    ) -> impl Stream<Item = Result<String, Failed>> + use<> {
        let token_every = self.token_every;
        stream::unfold(tokens(question), move |mut tokens| async move {
            sleep(token_every).await;
            Some((tokens.next()?, tokens))
        })
    }
}

/// Made one by one.
type Tokens = Box<dyn Iterator<Item = Result<String, Failed>> + Send>;

fn tokens(question: &str) -> Tokens {
    let Some(count) = question.strip_prefix("count to ") else {
        return Box::new(ANSWER.split_inclusive(' ').map(|word| Ok(word.to_owned())));
    };
    let (count, fails) = match count.strip_suffix(" and fail") {
        Some(count) => (count, true),
        None => (count, false),
    };
    let count = count.parse().map_or(0, |count: usize| count.min(MAX_TOKENS));
    let numbers = (1..=count).map(|number| Ok(format!("{number} ")));
    Box::new(numbers.chain(fails.then_some(Err(Failed))))
}
