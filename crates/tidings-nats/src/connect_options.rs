use std::fmt;
use std::future::ready;
use std::path::PathBuf;

use tidings::backend::{LogError, LogErrorKind};

use crate::complaint::Complaint;
use crate::error::error;

/// How a log or a bridge introduces itself to NATS, and whom it trusts. The default is an anonymous client.
///
/// ```no_run
/// use tidings_nats::{ConnectOptions, NatsLog};
///
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// let options = ConnectOptions::new().name("shop-1").credentials_file("shop.creds");
/// let log = NatsLog::builder().connect_options(options).connect("tls://nats.example.com").await?;
/// # drop(log);
/// # Ok(())
/// # }
/// ```
///
/// Files are read when the connection is made; one that cannot be read is [`LogErrorKind::Refused`] then. Pings,
/// reconnecting and the capacity of subscriptions are not options: what this crate promises rests on them.
#[must_use = "options do nothing until a builder has them"]
pub struct ConnectOptions {
    client: async_nats::ConnectOptions,
    credentials: Option<Credentials>,
    /// What is heard of the connection.
    pub(crate) complaint: Complaint,
}

enum Credentials {
    Text(String),
    File(PathBuf),
}

impl Default for ConnectOptions {
    fn default() -> Self {
        let complaint = Complaint::default();
        let heard = complaint.clone();
        let client = async_nats::ConnectOptions::default().event_callback(move |event| {
            heard.hear(event);
            ready(())
        });
        Self { client, credentials: None, complaint }
    }
}

impl ConnectOptions {
    /// An anonymous client.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of the connection, as the server's monitoring shows it. Default: none.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|client| client.name(name.into()))
    }

    /// A user and the password.
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.with(|client| client.user_and_password(user.into(), password.into()))
    }

    /// A token.
    pub fn token(self, token: impl Into<String>) -> Self {
        self.with(|client| client.token(token.into()))
    }

    /// The seed of an NKey, `SU…`.
    pub fn nkey(self, seed: impl Into<String>) -> Self {
        self.with(|client| client.nkey(seed.into()))
    }

    /// Credentials as a `.creds` file has them: a user's JWT and the seed of its NKey.
    pub fn credentials(mut self, credentials: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::Text(credentials.into()));
        self
    }

    /// A `.creds` file: a user's JWT and the seed of its NKey.
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Some(Credentials::File(path.into()));
        self
    }

    /// Whether the connection must be encrypted, whatever the server asks for. Default: no; addresses `tls://…` require it
    /// as well.
    pub fn require_tls(self, is_required: bool) -> Self {
        self.with(|client| client.require_tls(is_required))
    }

    /// A file of certificates, in PEM, that servers are trusted by, in addition to those of the system.
    pub fn root_certificates(self, path: impl Into<PathBuf>) -> Self {
        self.with(|client| client.add_root_certificates(path.into()))
    }

    /// Files with the certificate that the server knows this client by, and its key, both in PEM.
    pub fn client_certificate(self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.with(|client| client.add_client_certificate(chain.into(), key.into()))
    }

    /// The prefix of the subjects on which answers come, `_INBOX` by default: an account may let each user see only its
    /// own.
    pub fn inbox_prefix(self, prefix: impl Into<String>) -> Self {
        self.with(|client| client.custom_inbox_prefix(prefix.into()))
    }

    fn with(
        mut self,
        change: impl FnOnce(async_nats::ConnectOptions) -> async_nats::ConnectOptions,
    ) -> Self {
        self.client = change(self.client);
        self
    }

    /// The options of the client, once the credentials are read.
    pub(crate) async fn read(self) -> Result<async_nats::ConnectOptions, LogError> {
        let read = match self.credentials {
            None => return Ok(self.client),
            Some(Credentials::Text(text)) => self.client.credentials(&text),
            Some(Credentials::File(path)) => self.client.credentials_file(path).await,
        };
        read.map_err(|source| {
            error(LogErrorKind::Refused, format_args!("credentials: {source}")).with_source(source)
        })
    }
}

impl fmt::Debug for ConnectOptions {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions").finish_non_exhaustive()
    }
}

/// Whatever else async-nats can: outside of this crate's promises about versions, since async-nats has no stable one.
#[cfg(feature = "unstable-async-nats")]
impl From<async_nats::ConnectOptions> for ConnectOptions {
    fn from(client: async_nats::ConnectOptions) -> Self {
        // Its own callback stays.
        Self { client, credentials: None, complaint: Complaint::default() }
    }
}
