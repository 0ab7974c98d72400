//! nchan, a module of nginx, with a configuration for the benchmark.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::listener::BACKLOG;

/// The paths of nginx and its modules in distributions.
const PROGRAMS: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
const MODULES: [&str; 3] = [
    "/usr/lib/nginx/modules/ngx_nchan_module.so",
    "/usr/lib64/nginx/modules/ngx_nchan_module.so",
    "/usr/local/libexec/nginx/ngx_nchan_module.so",
];

/// An installed nginx with nchan.
#[derive(Debug, Clone)]
pub(crate) struct Nchan {
    program: PathBuf,
    module: PathBuf,
}

impl Nchan {
    /// The installed nchan, or what is missing.
    pub(crate) fn find() -> Result<Self, String> {
        let first = |places: &[&str]| places.iter().map(PathBuf::from).find(|path| path.is_file());
        let program = first(&PROGRAMS).ok_or("nginx is not installed")?;
        let module = first(&MODULES)
            .ok_or("nchan is not installed (Debian's package is libnginx-mod-nchan)")?;
        Ok(Self { program, module })
    }

    /// Its versions, as far as they are known.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(&self.program).arg("-v").stdin(Stdio::null()).output();
        let printed = output.map(|output| output.stderr).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let nginx = printed.trim().rsplit('/').next().unwrap_or_default();
        let package = Command::new("dpkg-query")
            .args(["-W", "-f=${Version}", "libnginx-mod-nchan"])
            .stdin(Stdio::null())
            .output();
        let nchan = package.map(|output| output.stdout).unwrap_or_default();
        format!("nchan {} in nginx {nginx}", String::from_utf8_lossy(&nchan).trim())
    }

    /// The command that runs it in the foreground as one process, and the address on which it will
    /// listen. `folder` is for its files.
    pub(crate) fn command(&self, folder: &Path) -> io::Result<(Vec<String>, SocketAddr)> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(&self.module, folder, addr))?;
        let command = [
            self.program.display().to_string(),
            "-p".into(),
            folder.display().to_string(),
            "-e".into(),
            "stderr".into(),
            "-c".into(),
            file.display().to_string(),
        ];
        Ok((command.into(), addr))
    }
}

/// One process that keeps as many messages as a topic of Tidings does by default.
fn configuration(module: &Path, folder: &Path, addr: SocketAddr) -> String {
    let (module, folder) = (module.display(), folder.display());
    format!(
        "load_module {module};
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  nchan_shared_memory_size 256M;
  server {{
    listen {addr} backlog={BACKLOG};
    location = /events {{
      nchan_subscriber eventsource;
      nchan_channel_id $arg_topic;
      nchan_channel_id_split_delimiter \",\";
      nchan_subscriber_first_message newest;
      nchan_subscriber_timeout 0;
    }}
    location = /publish {{
      nchan_publisher;
      nchan_channel_id $arg_topic;
      nchan_message_buffer_length 1000;
      nchan_message_timeout 10m;
    }}
    location = /ping {{ return 200 \"pong\"; }}
  }}
}}
"
    )
}
