use std::cell::RefCell;
use std::net::SocketAddr;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use tidings_net::{Activity, AddressPermit, Answering, Connections, Peer};

use crate::body::{Kept, RequestBody, ResponseBody};
use crate::connection::App;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What answers the requests of one connection.
pub(crate) struct Requests<L, A> {
    /// hyper calls a service that it only borrows, for one request after the other.
    app: RefCell<A>,
    peer: Peer<L>,
    connections: Connections,
    activity: Activity,
}

/// A request that is being answered.
pub(crate) struct Open {
    answering: Answering,
    activity: Activity,
    is_connect: bool,
    is_head: bool,
    /// Where a stream has its own task, and the connection goes on.
    is_http2: bool,
    /// It counts for the client's address.
    pub(crate) address: Option<AddressPermit>,
}

impl<L: Clone, A> Requests<L, A> {
    pub(crate) fn new(app: A, peer: Peer<L>, connections: Connections, activity: Activity) -> Self {
        Self { app: RefCell::new(app), peer, connections, activity }
    }

    /// Passes a request to the application.
    ///
    /// # Errors
    ///
    /// If the client's address has too many.
    pub(crate) fn call<B>(&self, request: Request<Incoming>) -> Result<(A::Answer, Open), Refused>
    where
        A: App<L, B>,
    {
        let answering = self.activity.answer();
        let mut peer = self.peer.clone();
        let mut address = None;
        let limits = self.connections.limits();
        let values = request.headers().get_all(X_FORWARDED_FOR);
        let values = values.iter().map(|value| value.as_bytes());
        if let Some(client) = limits.forwarded(&self.activity, values) {
            peer.client = Some(SocketAddr::new(client, 0));
            match self.connections.admit_address(client) {
                Ok(permit) => address = permit,
                Err(_) => {
                    // What is not read of its body may be in the way.
                    drop(RequestBody::new(request.into_body(), None, &self.activity));
                    return Err(Refused(answering));
                }
            }
        }
        let is_connect = request.method() == Method::CONNECT;
        let is_head = request.method() == Method::HEAD;
        let is_http2 = request.version() == Version::HTTP_2;
        let activity = self.activity.clone();
        let open = Open { answering, activity, is_connect, is_head, is_http2, address };
        let timeout = limits.body_timeout_value();
        let request = request.map(|body| RequestBody::new(body, timeout, &self.activity));
        Ok((self.app.borrow_mut()(request, peer), open))
    }
}

impl Open {
    /// The response is open until its body is dropped. What is kept of the body is sent first.
    pub(crate) fn respond<B: Body>(
        self,
        mut response: Response<B>,
        kept: Option<Box<Kept>>,
    ) -> Response<ResponseBody<B>> {
        let status = response.status();
        if self.is_http2 && status.is_informational() {
            // Nothing would follow it. Over HTTP/1, hyper answers so.
            return empty(StatusCode::INTERNAL_SERVER_ERROR, self.answering);
        }
        // RFC 9110, section 8.6.
        let may_have_length = match status {
            StatusCode::NO_CONTENT => false,
            // It is that of what the client has. A framework may have set that of this body, which is not sent.
            StatusCode::NOT_MODIFIED => {
                length(response.headers()) != response.body().size_hint().exact()
            }
            _ => true,
        };
        if !may_have_length {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        let is_upgraded =
            status == StatusCode::SWITCHING_PROTOCOLS || (self.is_connect && status.is_success());
        if is_upgraded && !self.is_http2 {
            self.activity.upgrade();
        }
        let is_without_body =
            self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        response.map(|body| {
            // There, hyper would send it.
            if is_without_body && self.is_http2 {
                return ResponseBody::none(self.answering);
            }
            ResponseBody::new(body, kept, self.answering, self.address)
        })
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A response of the server itself.
fn empty<B>(status: StatusCode, answering: Answering) -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::none(answering));
    *response.status_mut() = status;
    response
}

/// A request that the server refuses.
pub(crate) struct Refused(Answering);

impl Refused {
    pub(crate) fn respond<B>(self) -> Response<ResponseBody<B>> {
        empty(StatusCode::TOO_MANY_REQUESTS, self.0)
    }
}
