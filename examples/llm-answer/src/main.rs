//! The answers of a language model that outlive their requests: for a page, and for the clients of OpenAI, Anthropic and the AI
//! SDK.
//!
//! Each answer is a topic ([`answer`]), which a task writes and any number of clients read ([`answers`]). [`page`] has a page
//! that reads it as it is. [`openai_chat`], [`openai_responses`], [`anthropic`] and [`ai_sdk`] read it in the formats of
//! others; what these have in common is in [`stream`], [`question`] and [`refused`]. The [`model`] is none.
//!
//! Nobody is authenticated here: who knows the id of an answer may read and stop it. `examples/auth` shows users.

mod ai_sdk;
mod answer;
mod answers;
mod anthropic;
mod model;
mod openai_chat;
mod openai_responses;
mod options;
mod page;
mod question;
mod refused;
mod stream;

use std::process::ExitCode;
use std::time::Duration;

use answers::Answers;
use axum::Router;
use hub_example::program;
use model::Model;
use options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    program::run("llm-answer", run(Options::from_command_line())).await
}

async fn run(options: Options) -> Result<(), String> {
    let hub = answers::hub(options.heartbeat).map_err(|error| error.to_string())?;
    let answers = Answers::new(hub.clone(), Model::new(options.token_every));
    let app = Router::new()
        .merge(page::router())
        .merge(openai_chat::router())
        .merge(openai_responses::router())
        .merge(anthropic::router())
        .merge(ai_sdk::router())
        .with_state(App { answers, heartbeat: options.heartbeat });

    let (listener, address) = program::listen(options.listen).await?;
    println!("Answers of a language model: open http://{address}/ in a browser");
    tidings_axum::serve(listener, app, &hub)
        .shutdown_timeout(program::SHUTDOWN_TIMEOUT)
        .await
        .map_err(|error| error.to_string())
}

/// What the handlers share.
#[derive(Debug, Clone)]
struct App {
    answers: Answers,
    heartbeat: Duration,
}
