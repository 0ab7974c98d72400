use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::loads::Load;
use crate::paced::Paced;
use crate::past::Past;
use crate::run::{self, Figure, Run};
use crate::servers::Server;
use crate::servers::nchan::Nchan;
use crate::values::Values;
use crate::{check, cores, profile};

/// Measures Tidings and its peers side by side, under the same load.
///
/// Prints the tables, and writes docs/BENCHMARKS.md and its pictures. With `--server`, `--figure` or `--load`, the other
/// figures are kept from the last run, which must be of this machine.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(subcommand)]
    role: Option<Role>,

    /// Measure these servers only
    #[arg(long, value_enum, value_delimiter = ',')]
    server: Vec<Server>,

    /// Measure these figures only
    #[arg(long, value_enum, value_delimiter = ',')]
    figure: Vec<Figure>,

    /// Measure the cost of a delivery under these loads only
    #[arg(long, value_enum, value_delimiter = ',')]
    load: Vec<Load>,

    /// Measure fewer rounds and clients: rough figures in a few minutes
    #[arg(long)]
    quick: bool,

    /// The folder of BENCHMARKS.md; with `--quick`, nothing is written without it
    #[arg(long, value_name = "FOLDER")]
    docs: Option<PathBuf>,

    /// Measure nothing; write the document and its pictures from the last results
    #[arg(long)]
    rewrite: bool,

    /// Print which functions take the instructions of a server under a load
    #[arg(long, num_args = 2, value_names = ["SERVER", "LOAD"])]
    profile: Option<Vec<String>>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Run one of the servers
    Serve {
        #[arg(value_enum)]
        server: Server,
        /// The address to listen on; port 0 is any free port
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Publish values of keys faster than a reader can read, which must come to know the last of each
    Values(Values),
    /// Measure for how long the past of a pattern over many topics keeps the thread that serves it
    Past(Past),
    /// Measure what a least interval between two writes saves
    Paced(Paced),
    /// Check with a few clients that the servers work; all servers by default
    Check {
        #[arg(value_enum)]
        server: Vec<Server>,
    },
}

impl Options {
    /// Does what the command line asks for.
    pub(crate) fn run(self) -> Result<(), Error> {
        // If it is too low, connections will fail.
        let _ = tidings_load::raise_open_file_limit();
        match self.role {
            Some(Role::Serve { server, listen }) => return Ok(server.serve(listen)?),
            Some(Role::Paced(paced)) => return paced.run(),
            Some(Role::Past(past)) => return past.run(),
            Some(Role::Values(values)) => return values.run(),
            Some(Role::Check { server }) => return check_all(&installed(&server)),
            None => {}
        }
        if let Some(profile) = &self.profile {
            return print_profile(profile);
        }
        let docs = match self.docs {
            None if self.quick => None,
            None => Some(PathBuf::from("docs")),
            given => given,
        };
        if let Some(docs) = docs.as_ref().filter(|docs| !docs.is_dir()) {
            let docs = docs.display();
            return Err(Error::new(format!(
                "the folder {docs} is missing; name another with --docs"
            )));
        }
        if self.rewrite {
            let docs = docs.ok_or_else(|| Error::new("--rewrite with --quick needs --docs"))?;
            return run::rewrite(&docs);
        }
        let whole = self.server.is_empty() && self.figure.is_empty() && self.load.is_empty();
        let servers = installed(&self.server);
        let or_all = |loads: Vec<Load>| if loads.is_empty() { Load::all().into() } else { loads };
        let figures = match self.figure {
            figures if figures.is_empty() => Figure::value_variants().into(),
            figures => figures,
        };
        let loads = or_all(self.load);
        Run { servers, figures, loads, quick: self.quick, whole, docs }.run()
    }
}

/// The named servers, or all; without a server that is not installed, after a notice.
fn installed(named: &[Server]) -> Vec<Server> {
    let servers = if named.is_empty() { Server::all() } else { named };
    let is_installed = |server: &Server| match server {
        Server::Nchan => {
            Nchan::find().inspect_err(|missing| eprintln!("skipped: nchan: {missing}")).is_ok()
        }
        _ => true,
    };
    servers.iter().copied().filter(is_installed).collect()
}

fn check_all(servers: &[Server]) -> Result<(), Error> {
    for server in servers {
        check::check(*server).map_err(|error| error.within(server.name()))?;
        println!("{} works", server.name());
    }
    Ok(())
}

fn print_profile(names: &[String]) -> Result<(), Error> {
    let [server, load] = names else {
        return Err(Error::new("profile: needs a server and a load"));
    };
    let server = Server::from_str(server, false).map_err(Error::new)?;
    let load = Load::from_str(load, false).map_err(Error::new)?;
    cores::keep_off_server();
    println!("instructions per delivery, without those of called functions");
    print!("{}", profile::profile(server, load, 40)?);
    Ok(())
}
