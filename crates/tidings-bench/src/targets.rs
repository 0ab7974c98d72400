//! The targets of Tidings.

use crate::loads::Load;
use crate::results::Results;
use crate::servers::Server;
use crate::table::{Table, figure, figure_or_dash};

/// A figure and its upper limit.
#[derive(Debug, Clone, Copy)]
struct Target {
    server: Server,
    figure: TargetFigure,
    limit: f64,
}

#[derive(Debug, Clone, Copy)]
enum TargetFigure {
    Instructions(Load),
    /// KiB per idle connection.
    Memory,
    /// KiB per idle connection, minus those of the framework's empty stream.
    MemoryOverEmpty,
}

/// All targets: 200 bytes, 1,000 clients for instructions, 15,000 for memory.
fn targets() -> Vec<Target> {
    use Server::{
        TidingsActixWeb, TidingsAxumBody, TidingsAxumDirect, TidingsWarpBody, TidingsWarpDirect,
    };
    let body = [(TidingsAxumBody, 3_700.0), (TidingsWarpBody, 3_700.0), (TidingsActixWeb, 3_000.0)];
    let mut targets = Vec::new();
    for server in [TidingsAxumDirect, TidingsWarpDirect] {
        targets.extend([
            Target { server, figure: TargetFigure::Instructions(Load::One), limit: 200.0 },
            Target { server, figure: TargetFigure::Instructions(Load::Burst100), limit: 40.0 },
            Target { server, figure: TargetFigure::Memory, limit: 0.6 },
        ]);
    }
    for (server, limit) in body {
        targets.extend([
            Target { server, figure: TargetFigure::Instructions(Load::One), limit },
            Target { server, figure: TargetFigure::Instructions(Load::Burst100), limit: 150.0 },
            Target { server, figure: TargetFigure::MemoryOverEmpty, limit: 0.5 },
        ]);
    }
    targets
}

impl Target {
    fn measured(self, results: &Results) -> Option<f64> {
        let memory = |server| results.memory(server)?.at_15_000;
        match self.figure {
            TargetFigure::Instructions(load) => results.instructions(self.server, load),
            TargetFigure::Memory => memory(self.server),
            TargetFigure::MemoryOverEmpty => {
                Some(memory(self.server)? - memory(self.server.empty()?)?)
            }
        }
    }
}

/// The targets and the measured figures.
pub(crate) fn table(results: &Results) -> Table {
    let mut table = Table::new(["server", "figure", "target", "measured", "met"]);
    for target in targets() {
        let figure_name = match target.figure {
            TargetFigure::Instructions(load) => format!("ins:u, {}", load.title()),
            TargetFigure::Memory => "KB per idle connection at 15,000".to_owned(),
            TargetFigure::MemoryOverEmpty => {
                "KB per idle connection at 15,000, over the empty stream".to_owned()
            }
        };
        let measured = target.measured(results);
        let met = match measured {
            Some(measured) if measured <= target.limit => "yes",
            Some(_) => "**no**",
            None => "not measured",
        };
        table.row([
            target.server.description().to_owned(),
            figure_name,
            format!("≤ {}", figure(target.limit)),
            figure_or_dash(measured),
            met.to_owned(),
        ]);
    }
    table
}
