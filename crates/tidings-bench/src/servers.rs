//! The servers that are measured. Each is this program in another role, in its own process.

mod actix_bytes;
mod actix_lab;
mod axum_bytes;
mod axum_sse;
mod broadcast;
mod empty;
mod listener;
pub(crate) mod nchan;
mod query;
mod raw_epoll;
mod runtime;
mod tidings_actix_web;
mod tidings_axum;
mod tidings_hub;
mod tidings_warp;
mod warp_sse;

use std::io;
use std::net::SocketAddr;

use ::tidings_axum::Transport;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A server, by what it is made of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    /// The floor: mio and write(2), nothing else
    RawEpoll,
    /// Tidings on axum, direct transport
    TidingsAxumDirect,
    /// Tidings on warp, direct transport
    TidingsWarpDirect,
    /// Tidings on axum, body transport
    TidingsAxumBody,
    /// Tidings on warp, body transport
    TidingsWarpBody,
    /// Tidings on actix-web
    TidingsActixWeb,
    /// axum's `Sse` over a tokio broadcast channel
    AxumSse,
    /// axum, events framed by hand, over a tokio broadcast channel
    AxumBytes,
    /// warp's `sse` over a tokio broadcast channel
    WarpSse,
    /// actix-web, events framed by hand, over a tokio broadcast channel
    ActixBytes,
    /// actix-web-lab's `Sse` with a channel for each client
    ActixLab,
    /// nchan in nginx
    Nchan,
    /// axum, an idle stream
    AxumEmpty,
    /// warp, an idle stream
    WarpEmpty,
    /// actix-web, an idle stream
    ActixEmpty,
}

impl Server {
    /// All servers, in the order of the tables.
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Its description in tables.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::RawEpoll => "raw epoll + write(2), the floor",
            Self::TidingsAxumDirect => "**Tidings on axum**, direct transport",
            Self::TidingsWarpDirect => "**Tidings on warp**, direct transport",
            Self::TidingsAxumBody => "**Tidings on axum**, body transport",
            Self::TidingsWarpBody => "**Tidings on warp**, body transport",
            Self::TidingsActixWeb => "**Tidings on actix-web**",
            Self::AxumSse => "axum `Sse` + tokio broadcast",
            Self::AxumBytes => "axum, hand-framed `Bytes` + tokio broadcast",
            Self::WarpSse => "warp `sse` + tokio broadcast",
            Self::ActixBytes => "actix-web, hand-framed `Bytes` + tokio broadcast",
            Self::ActixLab => "actix-web-lab `Sse`, a channel for each client",
            Self::Nchan => "nchan in nginx",
            Self::AxumEmpty => "axum, an empty stream",
            Self::WarpEmpty => "warp, an empty stream",
            Self::ActixEmpty => "actix-web, an empty stream",
        }
    }

    /// The server of the same framework that only holds connections.
    pub(crate) fn empty(self) -> Option<Self> {
        match self {
            Self::TidingsAxumDirect | Self::TidingsAxumBody | Self::AxumSse | Self::AxumBytes => {
                Some(Self::AxumEmpty)
            }
            Self::TidingsWarpDirect | Self::TidingsWarpBody | Self::WarpSse => {
                Some(Self::WarpEmpty)
            }
            Self::TidingsActixWeb | Self::ActixBytes | Self::ActixLab => Some(Self::ActixEmpty),
            _ => None,
        }
    }

    /// What applications of the same framework usually write without Tidings.
    pub(crate) fn own_peer(self) -> Option<Self> {
        match self {
            Self::TidingsAxumDirect | Self::TidingsAxumBody => Some(Self::AxumSse),
            Self::TidingsWarpDirect | Self::TidingsWarpBody => Some(Self::WarpSse),
            Self::TidingsActixWeb => Some(Self::ActixLab),
            _ => None,
        }
    }

    /// Whether it is Tidings.
    pub(crate) fn is_ours(self) -> bool {
        matches!(
            self,
            Self::TidingsAxumDirect
                | Self::TidingsWarpDirect
                | Self::TidingsAxumBody
                | Self::TidingsWarpBody
                | Self::TidingsActixWeb
        )
    }

    /// Whether it is in the plot by number of clients.
    pub(crate) fn is_on_the_plots(self) -> bool {
        self.is_ours() || matches!(self, Self::RawEpoll | Self::AxumSse)
    }

    /// Whether events can be published to it.
    pub(crate) fn publishes(self) -> bool {
        !matches!(self, Self::AxumEmpty | Self::WarpEmpty | Self::ActixEmpty)
    }

    /// Whether a client that reconnects receives the events that it has missed.
    pub(crate) fn replays(self) -> bool {
        self.is_ours() || self == Self::Nchan
    }

    /// Its packages in `Cargo.lock`.
    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::RawEpoll => &["mio"],
            Self::TidingsAxumDirect | Self::TidingsAxumBody => {
                &["tidings-axum", "axum", "hyper", "tokio"]
            }
            Self::TidingsWarpDirect | Self::TidingsWarpBody => {
                &["tidings-warp", "warp", "hyper", "tokio"]
            }
            Self::TidingsActixWeb => &["tidings-actix-web", "actix-web", "tokio"],
            Self::AxumSse | Self::AxumBytes | Self::AxumEmpty => &["axum", "hyper", "tokio"],
            Self::WarpSse | Self::WarpEmpty => &["warp", "hyper", "tokio"],
            Self::ActixBytes | Self::ActixEmpty => &["actix-web", "tokio"],
            Self::ActixLab => &["actix-web-lab", "actix-web", "tokio"],
            Self::Nchan => &[],
        }
    }

    /// Runs this server until the process ends.
    pub(crate) fn serve(self, listen: SocketAddr) -> io::Result<()> {
        let listener = listener::listen(listen)?;
        match self {
            Self::RawEpoll => raw_epoll::serve(listener),
            Self::TidingsAxumDirect => tidings_axum::serve(listener, Transport::Auto),
            Self::TidingsAxumBody => tidings_axum::serve(listener, Transport::Body),
            Self::TidingsWarpDirect => tidings_warp::serve(listener, Transport::Auto),
            Self::TidingsWarpBody => tidings_warp::serve(listener, Transport::Body),
            Self::TidingsActixWeb => tidings_actix_web::serve(listener),
            Self::AxumSse => axum_sse::serve(listener),
            Self::AxumBytes => axum_bytes::serve(listener),
            Self::WarpSse => warp_sse::serve(listener),
            Self::ActixBytes => actix_bytes::serve(listener),
            Self::ActixLab => actix_lab::serve(listener),
            Self::AxumEmpty => empty::axum(listener),
            Self::WarpEmpty => empty::warp(listener),
            Self::ActixEmpty => empty::actix(listener),
            Self::Nchan => Err(io::Error::other("nchan runs in nginx, not in this program")),
        }
    }
}
