//! Answers the requests. Each function answers one, for a caller whom the framework's part has authenticated.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tidings::{Event, Hub, Resume, Subscription};

use crate::accounts::{Accounts, Caller};
use crate::options::Options;
use crate::refusal::Refusal;
use crate::users;

const NEWS: &str = "news";

/// The application. Cloning gives a handle, as with the hub.
#[derive(Debug, Clone)]
pub struct App {
    /// Publishes events and serves streams.
    pub hub: Hub,
    /// Sessions and tokens.
    pub accounts: Arc<Accounts>,
}

/// The form of `POST /login`.
#[derive(Debug, Deserialize)]
pub struct Login {
    user: String,
    password: String,
}

/// The form of `POST /notify/{user}` and `POST /news`.
#[derive(Debug, Deserialize)]
pub struct Message {
    text: String,
}

/// The answer to `POST /token`.
#[derive(Debug, Serialize)]
pub struct Token {
    token: String,
    expires_in: u64,
}

/// The answer to `GET /streams`.
#[derive(Debug, Serialize)]
pub struct Streams {
    yours: usize,
    all: usize,
}

/// The answer to `POST /notify/{user}` and `POST /news`.
#[derive(Debug, Serialize)]
pub struct Published {
    id: String,
}

#[derive(Serialize)]
struct Notification<'a> {
    from: &'a str,
    text: &'a str,
}

impl App {
    /// An application with a new hub.
    pub fn new(options: &Options) -> Self {
        let accounts = Arc::new(Accounts::new(options.token_lifetime));
        Self { hub: Hub::new(), accounts }
    }

    /// `GET /events`: what this caller may see is decided here, at every reconnect.
    ///
    /// # Errors
    ///
    /// When the query asks for a topic that the caller may not see.
    pub fn events(
        &self,
        caller: Caller,
        query: Option<&str>,
        request: &Resume,
    ) -> Result<Subscription, Refusal> {
        let topics = topics(caller, query)?;
        let stream = request.subscribe(&self.hub, topics).principal(caller.user).open()?;
        // A logout in between did not close this stream. It ends the session first and then the streams, so it will close
        // the stream of a caller who still has a session now.
        self.accounts.confirm(caller)?;
        Ok(stream)
    }

    /// `POST /login`. Returns the header `Set-Cookie`.
    ///
    /// # Errors
    ///
    /// When user or password is wrong.
    pub fn login(&self, Login { user, password }: &Login) -> Result<String, Refusal> {
        self.accounts.log_in(user, password).map(|(_, cookie)| cookie)
    }

    /// `POST /token`.
    ///
    /// # Errors
    ///
    /// When the caller has logged out meanwhile.
    pub fn token(&self, caller: Caller) -> Result<Token, Refusal> {
        let (token, lifetime) = self.accounts.token(caller)?;
        Ok(Token { token, expires_in: lifetime.as_secs() })
    }

    /// `POST /logout`. Returns the header `Set-Cookie`.
    ///
    /// All streams of the user end. Those of their other sessions reconnect at once, and lose nothing.
    pub fn logout(&self, caller: Caller) -> String {
        let cookie = self.accounts.log_out(caller);
        self.hub.clients().close_principal(caller.user.id());
        cookie
    }

    /// `POST /notify/{user}`.
    ///
    /// # Errors
    ///
    /// When the user does not exist, or the hub does not accept the event.
    pub async fn notify(
        &self,
        caller: Caller,
        user: &str,
        message: &Message,
    ) -> Result<Published, Refusal> {
        let user = users::by_id(user).ok_or_else(|| Refusal::NoUser(user.to_owned()))?;
        self.publish(caller, &user.topic(), message).await
    }

    /// `POST /news`.
    ///
    /// # Errors
    ///
    /// When the hub does not accept the event.
    pub async fn news(&self, caller: Caller, message: &Message) -> Result<Published, Refusal> {
        self.publish(caller, NEWS, message).await
    }

    async fn publish(
        &self,
        caller: Caller,
        topic: &str,
        Message { text }: &Message,
    ) -> Result<Published, Refusal> {
        let event = Event::json("notification", &Notification { from: caller.user.id(), text })?;
        let published = self.hub.publish(topic, event).await?;
        Ok(Published { id: published.id().to_string() })
    }

    /// `GET /streams`.
    pub fn streams(&self, caller: Caller) -> Streams {
        let clients = self.hub.clients();
        Streams { yours: clients.count_of_principal(caller.user.id()), all: clients.count() }
    }
}

/// The topics that a query asks for, if the caller may see them. By default all that the caller may see.
fn topics(caller: Caller, query: Option<&str>) -> Result<Vec<String>, Refusal> {
    let may_see = [NEWS.to_owned(), caller.user.topic()];
    let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let asked: Vec<String> =
        query.filter(|(name, _)| name == "topic").map(|(_, topic)| topic.into_owned()).collect();
    match asked.iter().find(|topic| !may_see.contains(topic)) {
        Some(topic) => Err(Refusal::Forbidden(topic.clone())),
        None if asked.is_empty() => Ok(may_see.into()),
        None => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Credentials;

    fn ada() -> (App, Caller) {
        let app = App::new(&Options::default());
        let authorization = Some(&b"Bearer access-of-ada"[..]);
        let ada = app.accounts.caller(Credentials { authorization, session: None }).unwrap();
        (app, ada)
    }

    #[test]
    fn a_caller_may_see_the_news_and_their_own_topic() {
        let (_, ada) = ada();
        for (query, expected) in [
            (None, &["news", "user:ada"][..]),
            (Some("token=x"), &["news", "user:ada"]),
            (Some("topic=news"), &["news"]),
            (Some("topic=user%3Aada"), &["user:ada"]),
            (Some("topic=user:ada&topic=news"), &["user:ada", "news"]),
        ] {
            assert_eq!(topics(ada, query).unwrap(), expected, "{query:?}");
        }
        for (query, topic) in [
            ("topic=user:grace", "user:grace"),
            ("topic=news&topic=user:grace", "user:grace"),
            ("topic=user:*", "user:*"),
            ("topic=", ""),
            ("topic=user:ada+", "user:ada "),
        ] {
            let refusal = Refusal::Forbidden(topic.to_owned());
            assert_eq!(topics(ada, Some(query)), Err(refusal), "{query}");
        }
    }

    #[test]
    fn a_stream_that_a_logout_missed_is_not_opened() {
        let (app, _) = ada();
        let cookie = app.login(&Login { user: "ada".into(), password: "engine".into() }).unwrap();
        let session = cookie.strip_prefix("session=").unwrap().split(';').next();
        let ada = app.accounts.caller(Credentials { session, authorization: None }).unwrap();
        let stream = app.events(ada, None, &Resume::new()).unwrap();
        app.logout(ada);
        // The request was authenticated before the logout, and comes here after it.
        assert_eq!(app.events(ada, None, &Resume::new()).unwrap_err(), Refusal::Unknown);
        drop(stream);
        assert_eq!(app.hub.clients().count(), 0);
    }
}
