//! The example servers, which behave alike on every framework: as processes, over their sockets.

use serde_json::Value;
use tidings::STATUS_EVENT;
use tidings_testkit::process::Process;
use tidings_testkit::wire::{Ending, Request, Response};

/// Makes a test of each function for each framework. A function takes the name of the example's package, such as
/// `hub-axum`.
#[macro_export]
macro_rules! on_every_framework {
    ($example:literal; $($(#[$meta:meta])* $promise:ident)+) => {
        $crate::on_every_framework! { @one axum $example "-axum"; $($(#[$meta])* $promise)+ }
        $crate::on_every_framework! { @one actix_web $example "-actix-web"; $($(#[$meta])* $promise)+ }
        $crate::on_every_framework! { @one warp $example "-warp"; $($(#[$meta])* $promise)+ }
    };
    (@one $framework:ident $example:literal $name:literal; $($(#[$meta:meta])* $promise:ident)+) => {
        mod $framework {
            $(
                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(concat!($example, $name)).await;
                }
            )+
        }
    };
}

/// Sends a request and reads the whole response.
pub async fn ask(server: &Process, request: Request) -> Response {
    let mut response = Response::to(server.addr(), request).await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    response
}

/// The JSON of a response.
#[track_caller]
pub fn json(response: &Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/json"), "{}", response.text());
    serde_json::from_str(response.text()).expect("JSON")
}

/// Opens a stream. Returns it with the data of its status event.
pub async fn follow(server: &Process, request: Request) -> (Response, Value) {
    let mut stream = Response::to(server.addr(), request).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let status = stream.next_message().await;
    assert_eq!(status.event(), STATUS_EVENT);
    (stream, serde_json::from_str(status.data()).expect("JSON"))
}
