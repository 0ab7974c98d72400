use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_core::Stream;
use http::response::Parts;
use http_body::{Body, Frame};
use tidings::{Subscription, error::StreamError};

use crate::body::Kept;

/// A subscription as the body of a response, which the direct transport can take over.
///
/// [`into_response`](Self::into_response) makes a response that the direct transport knows. Any
/// other server polls the body, and sends the subscription's bytes.
#[derive(Debug)]
pub struct SubscriptionBody(BodyState);

#[derive(Debug)]
enum BodyState {
    /// The body was not polled yet, but for a probe.
    Claimable {
        claim: Claim,
        is_probed: bool,
    },
    Streaming(Box<Subscription>),
    /// A writer sends it. The body stays pending, so that what wraps it does not see its end.
    Claimed,
}

/// The right to send a subscription, in the extensions of its response. The first to use it has
/// the subscription: the body when it is polled, or the direct transport.
#[derive(Clone)]
pub(crate) struct Claim(Arc<Mutex<Option<Box<Subscription>>>>);

impl Claim {
    fn take(&self) -> Option<Box<Subscription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

impl SubscriptionBody {
    /// The body of a subscription.
    pub fn new(subscription: Subscription) -> Self {
        let claim = Claim(Arc::new(Mutex::new(Some(Box::new(subscription)))));
        Self(BodyState::Claimable { claim, is_probed: false })
    }

    /// The claim to the subscription; `None` once the body was polled.
    pub(crate) fn claim(&self) -> Option<Claim> {
        match &self.0 {
            BodyState::Claimable { claim, .. } => Some(claim.clone()),
            BodyState::Streaming(_) | BodyState::Claimed => None,
        }
    }
}

impl Stream for SubscriptionBody {
    type Item = Result<Bytes, StreamError>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let state = &mut self.get_mut().0;
        match state {
            BodyState::Streaming(subscription) => subscription.poll_data(cx),
            BodyState::Claimed => Poll::Pending,
            BodyState::Claimable { .. } => state.poll_claimable(cx),
        }
    }
}

impl Body for SubscriptionBody {
    type Data = Bytes;
    type Error = StreamError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.poll_next(cx).map_ok(Frame::data)
    }
}

impl BodyState {
    /// Answers the probe, or becomes the stream if nothing else has claimed it.
    fn poll_claimable(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        let Self::Claimable { claim, is_probed } = self else {
            return Poll::Pending;
        };
        if cx.waker().will_wake(&PROBE) {
            // Once: a layer that passes over empty frames would ask for ever. The server polls again.
            return match std::mem::replace(is_probed, true) {
                true => Poll::Pending,
                false => Poll::Ready(Some(Ok(mark()))),
            };
        }
        match claim.take() {
            Some(mut subscription) => {
                let first = subscription.poll_data(cx);
                *self = Self::Streaming(subscription);
                first
            }
            None => {
                *self = Self::Claimed;
                Poll::Pending
            }
        }
    }
}

/// Takes the subscription out of a response, if its body would send the subscription's bytes and
/// nothing else. The body then stays pending. Otherwise returns what the body has said: the server
/// must send it before it polls the body again.
///
/// Layers may have wrapped the body and kept the extension, so the body is probed: it is polled
/// with a waker that a [`SubscriptionBody`] knows, and answers with an empty frame that has a known
/// address. A layer that passes frames through, as tracing and metrics do, passes that frame
/// through; one that compresses, encrypts or rewrites does not. One that passes empty frames through
/// and changes others cannot be told from the first. A body that waits, because it has answered the
/// probe to a layer that passes over empty frames, goes on when the server polls it.
pub(crate) fn take<B>(
    head: &mut Parts,
    body: &mut B,
) -> Result<Box<Subscription>, Option<Box<Kept>>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Some(claim) = head.extensions.remove::<Claim>() else {
        return Err(None);
    };
    // Else nobody may poll it.
    if B::is_end_stream(body) {
        return Err(None);
    }
    let size = B::size_hint(body);
    let answer = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(&PROBE));
    let Poll::Ready(next) = answer else {
        return Err(None);
    };
    let has_mark = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(is_mark);
    if !matches!(&next, Some(Ok(frame)) if has_mark(frame)) {
        let next = next.map(|frame| frame.map_err(Into::into));
        return Err(Some(Box::new(Kept { next, size })));
    }
    let Some(subscription) = claim.take() else {
        return Err(None);
    };
    drop(claim);
    // The body drops its claim when it finds that the subscription is gone.
    let _ = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    Ok(subscription)
}

static MARK: [u8; 1] = [0];

fn mark() -> Bytes {
    Bytes::from_static(&MARK[..0])
}

fn is_mark(bytes: &Bytes) -> bool {
    bytes.is_empty() && bytes.as_ptr() == MARK.as_ptr()
}

static PROBE: LazyLock<Waker> = LazyLock::new(|| Waker::from(Arc::new(Probe)));

/// Wakes nothing: a [`SubscriptionBody`] recognises it.
struct Probe;

impl Wake for Probe {
    fn wake(self: Arc<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;
    use std::task::ready;
    use tidings::{Event, Hub};

    /// A layer's body that does something to each frame.
    struct Mapped<F>(SubscriptionBody, F);

    impl<F: Fn(Bytes) -> Bytes + Unpin> Body for Mapped<F> {
        type Data = Bytes;
        type Error = StreamError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
            let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
            Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(&self.1))))
        }
    }

    /// A layer's body that passes over frames without data.
    struct Dense(SubscriptionBody);

    impl Body for Dense {
        type Data = Bytes;
        type Error = StreamError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
            for _ in 0..100 {
                let next = ready!(Pin::new(&mut self.0).poll_frame(cx));
                let data = next.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                if !data.is_some_and(Bytes::is_empty) {
                    return Poll::Ready(next);
                }
            }
            panic!("the body has nothing but empty frames");
        }
    }

    fn response<B>(wrap: impl FnOnce(SubscriptionBody) -> B) -> (Hub, Response<B>) {
        let hub = Hub::builder().retry(None).build();
        let subscription = hub.subscribe(["news"]).status(false).open().unwrap();
        let body = SubscriptionBody::new(subscription);
        let claim = body.claim().unwrap();
        let mut response = Response::new(wrap(body));
        response.extensions_mut().insert(claim);
        (hub, response)
    }

    fn next<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Poll<Bytes> {
        match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(frame.into_data().ok().unwrap()),
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => panic!("the stream has no end and no error"),
        }
    }

    #[test]
    fn an_untouched_body_is_taken_and_stays_pending() {
        let (hub, response) = response(|body| body);
        let (mut head, mut body) = response.into_parts();
        let subscription = take(&mut head, &mut body).unwrap();
        assert!(next(&mut body).is_pending());
        assert!(matches!(body.0, BodyState::Claimed));
        assert_eq!(hub.clients().count(), 1);
        drop(body);
        assert_eq!(hub.clients().count(), 1);
        drop(subscription);
        assert_eq!(hub.clients().count(), 0);
    }

    #[test]
    fn a_layer_that_passes_frames_through_does_not_matter() {
        let (_hub, response) = response(|body| Mapped(body, |bytes| bytes));
        let (mut head, mut body) = response.into_parts();
        assert!(take(&mut head, &mut body).is_ok());
    }

    #[test]
    fn a_body_that_a_layer_changes_stays_as_it_is() {
        let shout = |bytes: Bytes| Bytes::from(bytes.to_ascii_uppercase());
        let (hub, response) = response(|body| Mapped(body, shout));
        let (mut head, mut body) = response.into_parts();
        assert!(take(&mut head, &mut body).is_err());
        assert_eq!(next(&mut body), Poll::Ready(Bytes::from_static(b":\n\n")));
        hub.publish("news", Event::new("hello")).wait().unwrap();
        let Poll::Ready(event) = next(&mut body) else { panic!("an event was published") };
        assert!(event.starts_with(b"DATA: HELLO\n"));
    }

    #[test]
    fn a_layer_that_passes_over_empty_frames_has_the_stream() {
        let (hub, response) = response(Dense);
        let (mut head, mut body) = response.into_parts();
        assert!(matches!(take(&mut head, &mut body), Err(None)));
        assert_eq!(next(&mut body), Poll::Ready(Bytes::from_static(b":\n\n")));
        hub.publish("news", Event::new("hello")).wait().unwrap();
        assert!(next(&mut body).is_ready());
    }

    #[test]
    fn what_a_body_says_to_the_probe_is_kept() {
        let quote = |bytes: Bytes| Bytes::from([&b">"[..], &bytes[..]].concat());
        let (_hub, response) = response(|body| Mapped(body, quote));
        let (mut head, mut body) = response.into_parts();
        let Err(Some(kept)) = take(&mut head, &mut body) else { panic!("that is not the mark") };
        assert_eq!(kept.next.unwrap().unwrap().into_data().unwrap(), ">");
        assert_eq!(next(&mut body), Poll::Ready(Bytes::from_static(b">:\n\n")));
    }

    #[test]
    fn a_body_that_was_polled_before_stays_as_it_is() {
        let (hub, response) = response(|body| body);
        let (mut head, mut body) = response.into_parts();
        assert!(next(&mut body).is_ready());
        assert!(matches!(take(&mut head, &mut body), Err(None)));
        hub.publish("news", Event::new("hello")).wait().unwrap();
        assert!(next(&mut body).is_ready());
    }

    #[test]
    fn a_response_without_claim_is_not_probed() {
        let (_hub, response) = response(|body| body);
        let (mut head, mut body) = response.into_parts();
        head.extensions.clear();
        assert!(matches!(take(&mut head, &mut body), Err(None)));
        assert!(matches!(body.0, BodyState::Claimable { is_probed: false, .. }));
    }
}
