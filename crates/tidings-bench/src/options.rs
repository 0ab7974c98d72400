use std::net::SocketAddr;

use clap::{Parser, Subcommand};

use crate::cost;
use crate::error::Error;
use crate::instrument::Instrument;
use crate::loads::Load;
use crate::profile;
use crate::servers::Server;
use crate::{cores, open_files};

/// Measures Tidings and its peers side by side, under the same load.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    #[command(subcommand)]
    role: Option<Role>,

    /// Measure these servers only
    #[arg(long, value_enum, value_delimiter = ',')]
    server: Vec<Server>,

    /// Measure the cost of these loads only
    #[arg(long, value_enum, value_delimiter = ',')]
    load: Vec<Load>,

    /// Fewer rounds and clients: rough figures, soon
    #[arg(long)]
    quick: bool,

    /// Print where a server's instructions go under a load, and measure nothing else
    #[arg(long, num_args = 2, value_names = ["SERVER", "LOAD"])]
    profile: Option<Vec<String>>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be one of the servers
    Serve {
        #[arg(value_enum)]
        server: Server,
        /// The address to listen on; port 0 takes any that is free
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

impl Options {
    pub(crate) fn run(self) -> Result<(), Error> {
        open_files::raise_limit();
        if let Some(Role::Serve { server, listen }) = self.role {
            return server.serve(listen).map_err(Error::from);
        }
        cores::keep_off_server();
        if let Some(profile) = &self.profile {
            return print_profile(profile);
        }
        let instrument = Instrument::find()?;
        println!("instructions are counted by {instrument:?}");
        let servers = if self.server.is_empty() { Server::all() } else { &self.server };
        let loads = if self.load.is_empty() { Load::all() } else { &self.load };
        for server in servers.iter().filter(|server| server.publishes()) {
            for load in loads {
                let began = std::time::Instant::now();
                match cost::count(instrument, *server, *load, load.clients(), self.quick) {
                    Ok(cost) => println!(
                        "{:24} {:16} {:10.1}  {:?}",
                        server.name(),
                        load.name(),
                        cost.user_instructions,
                        began.elapsed()
                    ),
                    Err(error) => println!("{:24} {:16} {error}", server.name(), load.name()),
                }
            }
        }
        Ok(())
    }
}

fn print_profile(names: &[String]) -> Result<(), Error> {
    use clap::ValueEnum;
    let [server, load] = names else {
        return Err(Error::new("a profile is of a server and a load"));
    };
    let server = Server::from_str(server, false).map_err(Error::new)?;
    let load = Load::from_str(load, false).map_err(Error::new)?;
    print!("{}", profile::profile(server, load, 40)?);
    Ok(())
}
