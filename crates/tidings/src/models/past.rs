//! What a stream keeps for the past of many topics is taken from it while it reads.

use super::*;
use crate::History;
use crate::error::StreamErrorKind;

/// So many that a stream says what it keeps for them.
const TOPICS: usize = 12;

#[test]
fn a_stream_that_is_cut_while_it_reads_its_past_ends_with_an_error() {
    explore(|| {
        let hub = hub().build();
        for n in 0..TOPICS {
            publish(&hub, &format!("a:{n}"), "x").expect("it is open");
        }
        let subscribe = hub.subscribe_matching(["a:*"]).history(History::All);
        let (Client { mut stream, .. }, _) = Client::of(subscribe);
        let client = stream.client().clone();
        let cutting = spawn(move || client.cut().wake());
        let reading = spawn(move || {
            loop {
                match block_on(poll_fn(|cx| poll(&mut stream, cx))) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.kind(),
                    None => panic!("it ends as if it had been sent all"),
                }
            }
        });
        assert_eq!(join([reading]), [StreamErrorKind::Cut]);
        join([cutting]);
    });
}
