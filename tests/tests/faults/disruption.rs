//! What happens to nodes, to the server of their log, and to the links between.

use std::time::Duration;

use tidings_tests::proxy::Passing;
use tidings_tests::random::Random;
use tokio::time::sleep;

use crate::client::Call;
use crate::cluster::Cluster;
use crate::engine::Engine;
use crate::scene::Scene;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disruption {
    KillNode,
    StopNode,
    RestartAll,
    SetClockBack,
    SetClockAhead,
    Trim,
    KillServer,
    WipeServer,
    CutToServer,
    CutToNode,
    CutBothWays,
    ResetLinks,
}

/// How long a link is cut: long enough to be noticed.
const CUT: Duration = Duration::from_secs(5);

/// How long a server or a node is down.
const DOWN: Duration = Duration::from_secs(1);

impl Disruption {
    pub(crate) const ALL: [Self; 12] = [
        Self::KillNode,
        Self::StopNode,
        Self::RestartAll,
        Self::SetClockBack,
        Self::SetClockAhead,
        Self::Trim,
        Self::KillServer,
        Self::WipeServer,
        Self::CutToServer,
        Self::CutToNode,
        Self::CutBothWays,
        Self::ResetLinks,
    ];

    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillNode => "a node is killed (`kill -9`) and started again",
            Self::StopNode => "a node is stopped (SIGSTOP) and continues",
            Self::RestartAll => "all nodes are restarted, one after the other (SIGTERM)",
            Self::SetClockBack => "a node's clock is set back an hour",
            Self::SetClockAhead => "a node's clock is set ahead an hour, and back again",
            Self::Trim => "the log is trimmed past what clients have seen, and nodes restart",
            Self::KillServer => "the server is killed and restarted with its data",
            Self::WipeServer => "the server is killed and restarted without its data",
            Self::CutToServer => "nothing passes from a node to the server",
            Self::CutToNode => "nothing passes from the server to a node",
            Self::CutBothWays => "nothing passes between a node and the server",
            Self::ResetLinks => "all connections to the server are reset, again and again",
        }
    }

    /// Whether it can happen to this log.
    pub(crate) fn applies_to(self, engine: Engine) -> bool {
        match engine {
            Engine::Redis | Engine::Nats => true,
            Engine::Redb => matches!(
                self,
                Self::KillNode
                    | Self::StopNode
                    | Self::RestartAll
                    | Self::SetClockBack
                    | Self::SetClockAhead
            ),
        }
    }

    /// The reasons for which clients may be reset.
    pub(crate) fn resets(self) -> &'static [&'static str] {
        match self {
            Self::Trim => &["trimmed", "expired"],
            Self::WipeServer => &["unknown"],
            _ => &[],
        }
    }

    /// Makes it happen, and returns when it has ended.
    pub(crate) async fn inject(self, cluster: &mut Cluster, scene: &Scene, random: &mut Random) {
        let number = random.below(cluster.nodes.len());
        let node = &mut cluster.nodes[number];
        match self {
            Self::KillNode => {
                node.kill().await;
                sleep(DOWN).await;
                node.restart().await;
            }
            Self::StopNode => {
                node.pause();
                sleep(stop_time()).await;
                node.resume();
            }
            Self::RestartAll => {
                for node in &mut cluster.nodes {
                    node.terminate().await;
                    node.restart().await;
                }
            }
            Self::SetClockBack => {
                node.set_clock(-1);
                scene.publish_some().await;
                // It also starts with the wrong clock.
                node.kill().await;
                node.restart().await;
            }
            Self::SetClockAhead => {
                node.set_clock(1);
                scene.publish_some().await;
                // It also starts with the wrong clock.
                node.kill().await;
                node.restart().await;
                scene.publish_some().await;
                node.set_clock(0);
            }
            Self::Trim => trim(cluster, scene).await,
            Self::KillServer | Self::WipeServer => {
                let broker = cluster.broker.as_mut().expect("its log has a server");
                broker.kill().await;
                sleep(DOWN).await;
                if self == Self::WipeServer {
                    broker.wipe();
                }
                broker.restart().await;
            }
            Self::CutToServer => cut(cluster, number, Passing::ToClient).await,
            Self::CutToNode => cut(cluster, number, Passing::ToServer).await,
            Self::CutBothWays => cut(cluster, number, Passing::Neither).await,
            Self::ResetLinks => {
                for _ in 0..20 {
                    for node in &cluster.nodes {
                        node.link().reset();
                    }
                    sleep(Duration::from_millis(random.logarithmic(200) as u64)).await;
                }
            }
        }
    }
}

/// 8 seconds by default; more where nobody waits for the test.
fn stop_time() -> Duration {
    let seconds = std::env::var("TIDINGS_FAULTS_STOP_SECONDS").ok();
    Duration::from_secs(seconds.map_or(8, |seconds| seconds.parse().expect("a number of seconds")))
}

async fn cut(cluster: &Cluster, node: usize, passing: Passing) {
    let link = cluster.nodes[node].link();
    link.pass(passing);
    sleep(CUT).await;
    link.pass(Passing::Both);
}

/// While half of the clients are away, all that they have missed is trimmed except for the newest events. The nodes
/// restart, so that their memory has not kept it, either.
async fn trim(cluster: &mut Cluster, scene: &Scene) {
    scene.call(Call::StayAway);
    scene.publish_some().await;
    let broker = cluster.broker.as_ref().expect("its log has a server");
    broker.trim(10).await;
    for node in &mut cluster.nodes {
        node.kill().await;
        node.restart().await;
    }
    scene.call(Call::Roam);
}
