//! A running server: start, kill, freeze, restart, SQL for setup.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::programs::{self, Programs, option};
use crate::progress::Progress;
use crate::template;
use crate::watchdog::{Signal, Watchdog};
use crate::{Error, Kind, certificates, clear_password, disk, port};

/// How long a server may take to accept connections; crash recovery included.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a graceful shutdown may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

const ADMIN: &str = "root";

/// How a server is to be started. Made by [`Server::mariadb`], [`Server::mysql`] or
/// [`Server::of`].
#[must_use = "a server runs only after `start`"]
pub struct Builder {
    kind: Kind,
    options: Vec<String>,
    clear_password: Option<String>,
    fsync: Option<Duration>,
    progress: Progress,
}

impl Builder {
    /// Adds a server option, without leading dashes: `max_connections=200`. Later ones win, also
    /// over the sandbox's own. `port`, `socket`, `datadir`, `log-error` and `init-file` are not
    /// to be changed.
    pub fn option(mut self, option: impl AsRef<str>) -> Self {
        self.options.push(format!("--{}", option.as_ref()));
        self
    }

    /// Lets accounts log in with `mysql_clear_password` and this password, on one line:
    /// [`Server::clear_password_clause`] says how they are made. Needs a C compiler, and on
    /// MariaDB its PAM plugin (`auth_pam_v1`).
    pub fn clear_password(mut self, password: impl Into<String>) -> Self {
        self.clear_password = Some(password.into());
        self
    }

    /// Gives the server a disk on which each fsync and fdatasync takes this long, instead of the machine's own, and
    /// counts them: [`Server::fsyncs`]. What was synced survives the server's process, not the machine. Needs a C
    /// compiler. Not together with [`Builder::clear_password`] on MariaDB.
    pub fn fsync(mut self, takes: Duration) -> Self {
        self.fsync = Some(takes);
        self
    }

    /// Receives what takes long, such as fetching; by default it goes to standard error.
    pub fn progress(mut self, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Progress::new(say);
        self
    }

    /// Starts the server and returns when it accepts connections.
    ///
    /// Takes about a second, and the first time on a machine as long as fetching its packages
    /// and initialising a data directory take.
    pub fn start(self) -> Result<Server, Error> {
        let programs = programs::find(self.kind, &self.progress)?;
        let mut attempt = 1;
        loop {
            match Server::launch(&programs, &self) {
                // Another process took the port between choosing and binding it.
                Err(Error::Start { log, .. }) if attempt < 5 && log.contains("already in use") => {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

/// A server that was started by [`Builder::start`]. Dropping it kills it and removes its
/// directory.
///
/// All methods take `&self`, so that one thread may inject faults while others use the server.
///
/// It runs with the server's own defaults (durability, `max_allowed_packet`, performance schema,
/// time zone, authentication) except: 64 MB of buffer pool, `skip_name_resolve`, `local_infile`,
/// an empty `secure_file_priv`, 127.0.0.1 and the socket only, no X plugin on MySQL; on MariaDB
/// a certificate for 127.0.0.1 and localhost (MySQL makes its own, which name no host) and the
/// `auth_ed25519` plugin.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    directory: PathBuf,
    port: u16,
    password: String,
    clear_password: Option<String>,
    process: Mutex<Process>,
}

#[derive(Debug)]
struct Process {
    watchdog: Watchdog,
    /// The server's process id until it has been reaped.
    pid: Option<u32>,
}

impl Server {
    /// A MariaDB server.
    pub fn mariadb() -> Builder {
        Server::of(Kind::MariaDb)
    }

    /// A MySQL server.
    pub fn mysql() -> Builder {
        Server::of(Kind::MySql)
    }

    /// A server of this kind.
    pub fn of(kind: Kind) -> Builder {
        Builder {
            kind,
            options: Vec::new(),
            clear_password: None,
            fsync: None,
            progress: Progress::default(),
        }
    }

    fn launch(programs: &Programs, builder: &Builder) -> Result<Server, Error> {
        let directory = private_directory()?;
        let port = port::free_port()?;
        let mut command = command_line(programs, &directory, port, &builder.options);
        if builder.clear_password.is_some() {
            command = clear_password::prepare(programs.kind(), command, &directory);
        }
        if builder.fsync.is_some() {
            command = disk::prepare(command, &directory);
        }
        let watchdog = Watchdog::spawn(&directory, &command)?;
        let server = Server {
            programs: programs.clone(),
            directory,
            port,
            password: port::random_hex::<12>()?,
            clear_password: builder.clear_password.clone(),
            process: Mutex::new(Process {
                watchdog,
                pid: None,
            }),
        };
        template::copy_to(&server.data_dir(), programs, &builder.progress)?;
        if programs.kind() == Kind::MariaDb {
            certificates::generate(&server.directory)?;
        }
        if let Some(password) = &server.clear_password {
            clear_password::install(programs, password, &server.directory)?;
        }
        if let Some(takes) = builder.fsync {
            disk::install(takes, &server.directory)?;
        }
        let tmp = server.directory.join("tmp");
        fs::create_dir(&tmp).map_err(Error::at("create", &tmp))?;
        let init = server.directory.join("init.sql");
        fs::write(&init, first_sql(programs.kind(), &server.password))
            .map_err(Error::at("write", &init))?;
        server.start_again()?;
        // Emptied, not removed: every later start reads it again.
        fs::write(&init, "").map_err(Error::at("empty", &init))?;
        if server.clear_password.is_some() {
            server.check_clear_password()?;
        }
        Ok(server)
    }

    /// A server goes on without a plugin that it cannot load.
    fn check_clear_password(&self) -> Result<(), Error> {
        let (plugin, cure) = clear_password::plugin(self.kind());
        let active = self.sql(&format!(
            "SELECT COUNT(*) FROM information_schema.PLUGINS \
             WHERE PLUGIN_NAME = '{plugin}' AND PLUGIN_STATUS = 'ACTIVE'"
        ))?;
        if active.trim() == "1" {
            return Ok(());
        }
        Err(Error::Start {
            kind: self.kind(),
            reason: format!("it could not load its plugin for mysql_clear_password: {cure}"),
            log: self.log_tail(0),
        })
    }

    /// The kind of server.
    pub fn kind(&self) -> Kind {
        self.programs.kind()
    }

    /// The server's version, such as `9.7.4-2`.
    pub fn version(&self) -> String {
        self.programs.version().to_owned()
    }

    /// `127.0.0.1`
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The TCP port, the same after every restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port.
    pub fn addr(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("sock")
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The error log; starts are appended.
    pub fn error_log(&self) -> PathBuf {
        self.directory.join("error.log")
    }

    /// The certificate authority of the server's TLS certificate, in PEM.
    pub fn ca_certificate(&self) -> PathBuf {
        match self.kind() {
            Kind::MariaDb => self.directory.join(certificates::CA),
            Kind::MySql => self.data_dir().join("ca.pem"),
        }
    }

    /// The server's TLS certificate and its private key, in PEM.
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        let directory = match self.kind() {
            Kind::MariaDb => self.directory.clone(),
            Kind::MySql => self.data_dir(),
        };
        // MySQL gives its own the same names.
        (
            directory.join(certificates::CERTIFICATE),
            directory.join(certificates::KEY),
        )
    }

    /// The process id, or `None` after [`Server::kill`] and [`Server::stop`].
    pub fn pid(&self) -> Option<u32> {
        self.process().pid
    }

    /// Whether the server process exists and has not ended.
    pub fn is_running(&self) -> bool {
        self.process()
            .pid
            .is_some_and(|pid| state_of(pid).is_some())
    }

    /// The account with all privileges, from 127.0.0.1 and over the socket; it has the server's
    /// default authentication plugin.
    pub fn admin_user(&self) -> &'static str {
        ADMIN
    }

    /// The password of [`Server::admin_user`], different for each server.
    pub fn admin_password(&self) -> &str {
        &self.password
    }

    /// How often the server has called fsync and fdatasync since it was made.
    ///
    /// # Errors
    /// It was made without [`Builder::fsync`].
    pub fn fsyncs(&self) -> Result<u64, Error> {
        disk::fsyncs(&self.directory)
    }

    /// What follows the account's name in CREATE USER for an account that logs in with
    /// `mysql_clear_password` and the password of [`Builder::clear_password`]: `None` without that.
    pub fn clear_password_clause(&self) -> Option<String> {
        let password = self.clear_password.as_deref()?;
        Some(clear_password::clause(self.kind(), password))
    }

    /// `mysql://user:password@127.0.0.1:port` for the admin account.
    pub fn url(&self) -> String {
        format!(
            "mysql://{ADMIN}:{}@{}:{}",
            self.password,
            self.host(),
            self.port
        )
    }

    /// Runs SQL (several statements, `DELIMITER` too) as admin with the CLI client over the unix
    /// socket, and returns what it prints: tab-separated rows without column names.
    pub fn sql(&self, sql: &str) -> Result<String, Error> {
        let mut command = self.client();
        command.args(["--batch", "--skip-column-names"]);
        let refused = |message: String| Error::Sql {
            kind: self.kind(),
            port: self.port,
            statement: sql.chars().take(120).collect(),
            message,
        };
        let run = || {
            let mut client = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let stdin = client.stdin.take();
            std::thread::scope(|scope| {
                // The client may stop reading at the first error: its message says why.
                scope.spawn(move || {
                    stdin.map(|mut stdin| io::copy(&mut sql.as_bytes(), &mut stdin))
                });
                client.wait_with_output()
            })
        };
        let output = { run }().map_err(|error| refused(error.to_string()))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(refused(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ))
        }
    }

    /// The CLI client, logged in as admin over the unix socket.
    pub fn client(&self) -> Command {
        let mut command = self.programs.client_command();
        command
            .arg(option("--socket", &self.socket()))
            .args(["--user", ADMIN])
            .env("MYSQL_PWD", &self.password);
        command
    }

    /// The programs of this server, for its other tools.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&self) -> Result<(), Error> {
        let mut process = self.running()?;
        process.watchdog.signal(Signal::Kill)?;
        process.reap()
    }

    /// SIGTERM (after a [`Server::thaw`]), and waits until the process is gone, 60 s at most.
    pub fn stop(&self) -> Result<(), Error> {
        let mut process = self.running()?;
        process.watchdog.signal(Signal::Terminate)?;
        process.watchdog.signal(Signal::Continue)?;
        let begun = Instant::now();
        while process.pid.is_some_and(|pid| state_of(pid).is_some()) {
            if begun.elapsed() > STOP_LIMIT {
                return Err(self.state("has not shut down within 60 s", "kill it"));
            }
            sleep(POLL);
        }
        process.reap()
    }

    /// Starts the server after [`Server::kill`], [`Server::stop`] or its own end, on the same
    /// port and data. Returns when it accepts connections.
    pub fn start_again(&self) -> Result<(), Error> {
        let mut process = self.process();
        if let Some(pid) = process.pid {
            if state_of(pid).is_some() {
                return Err(self.state("is running", "stop or kill it first"));
            }
            process.reap()?;
        }
        let logged = fs::metadata(self.error_log()).map_or(0, |log| log.len());
        let pid = process.watchdog.start()?;
        process.pid = Some(pid);
        self.wait_until_ready(pid, logged)
    }

    /// [`Server::stop`] and [`Server::start_again`].
    pub fn restart(&self) -> Result<(), Error> {
        self.stop()?;
        self.start_again()
    }

    /// SIGSTOP: the kernel still accepts connections for it, and nothing is answered.
    pub fn freeze(&self) -> Result<(), Error> {
        let mut process = self.running()?;
        process.watchdog.signal(Signal::Stop)?;
        // A stop takes effect only when each of its threads has noticed it.
        let pid = process.pid;
        while pid.and_then(state_of).is_some_and(|state| state != 'T') {
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// SIGCONT: ends a [`Server::freeze`].
    pub fn thaw(&self) -> Result<(), Error> {
        let mut process = self.running()?;
        process.watchdog.signal(Signal::Continue)
    }

    fn wait_until_ready(&self, pid: u32, logged: u64) -> Result<(), Error> {
        let begun = Instant::now();
        let failed = |reason: String| Error::Start {
            kind: self.kind(),
            reason,
            log: self.log_tail(logged),
        };
        loop {
            // Looked at before the log: a server that ended has written all it had to say.
            let alive = state_of(pid).is_some();
            // Only this line: MySQL's X plugin says nearly the same.
            if self.log_since(logged).contains(": ready for connections.") {
                return Ok(());
            }
            if !alive {
                return Err(failed("its process ended".to_owned()));
            }
            if begun.elapsed() > START_LIMIT {
                return Err(failed(format!(
                    "not ready after {} s",
                    START_LIMIT.as_secs()
                )));
            }
            sleep(POLL);
        }
    }

    fn log_since(&self, offset: u64) -> String {
        let read = || {
            let mut log = fs::File::open(self.error_log())?;
            log.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            io::Result::Ok(bytes)
        };
        // Not there yet: the server has not come that far.
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    fn log_tail(&self, offset: u64) -> String {
        let log = self.log_since(offset);
        if log.trim().is_empty() {
            let output = self.directory.join("output");
            return template::last_lines(&fs::read_to_string(output).unwrap_or_default(), 5);
        }
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
        match errors.as_slice() {
            [] => template::last_lines(&log, 5),
            errors => template::last_lines(&errors.join("\n"), 5),
        }
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn running(&self) -> Result<MutexGuard<'_, Process>, Error> {
        let process = self.process();
        match process.pid {
            Some(_) => Ok(process),
            None => Err(self.state("is not running", "start it again first")),
        }
    }

    fn state(&self, state: &'static str, wanted: &'static str) -> Error {
        Error::State {
            kind: self.kind(),
            port: self.port,
            state,
            wanted,
        }
    }
}

impl Process {
    fn reap(&mut self) -> Result<(), Error> {
        self.watchdog.reap()?;
        self.pid = None;
        Ok(())
    }
}

fn command_line(programs: &Programs, directory: &Path, port: u16, options: &[String]) -> Command {
    let at = |name| directory.join(name);
    let mut command = programs.server_command();
    command
        .arg(option("--datadir", &at("data")))
        .arg(option("--socket", &at("sock")))
        .arg(option("--pid-file", &at("pid")))
        .arg(option("--log-error", &at("error.log")))
        .arg(option("--tmpdir", &at("tmp")))
        .arg(option("--init-file", &at("init.sql")))
        .arg(format!("--port={port}"))
        .args([
            "--bind-address=127.0.0.1",
            "--local-infile=1",
            "--secure-file-priv=",
            "--innodb-buffer-pool-size=64M",
        ]);
    // MySQL 9.7 looks up no names once it has been told so, whatever else it is told behind it.
    const NAMES: &str = "--skip-name-resolve";
    if !options.iter().any(|option| option.starts_with(NAMES)) {
        command.arg(NAMES);
    }
    match programs.kind() {
        Kind::MySql => {
            command.arg("--mysqlx=OFF");
        }
        Kind::MariaDb => {
            command
                .arg("--plugin-load-add=auth_ed25519")
                .arg(option("--ssl-ca", &at(certificates::CA)))
                .arg(option("--ssl-cert", &at(certificates::CERTIFICATE)))
                .arg(option("--ssl-key", &at(certificates::KEY)));
        }
    }
    command.args(options);
    command
}

/// What the first start runs, one statement a line. Not in the binary log: a server's own
/// history begins with what its user does.
fn first_sql(kind: Kind, password: &str) -> String {
    let accounts = match kind {
        Kind::MariaDb => {
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\nFLUSH PRIVILEGES;\n"
        }
        Kind::MySql => "DROP USER IF EXISTS root@localhost;\n",
    };
    let mut sql = format!("SET SESSION sql_log_bin=0;\n{accounts}");
    for host in ["localhost", "127.0.0.1"] {
        sql.push_str(&format!(
            "CREATE USER {ADMIN}@'{host}' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO {ADMIN}@'{host}' WITH GRANT OPTION;\n"
        ));
        if kind == Kind::MySql {
            sql.push_str(&format!(
                "GRANT PROXY ON ''@'' TO {ADMIN}@'{host}' WITH GRANT OPTION;\n"
            ));
        }
    }
    sql
}

/// A name that does not exist yet, short enough for a unix socket in it (107 bytes on Linux).
fn private_directory() -> Result<PathBuf, Error> {
    let temporary = std::env::temp_dir();
    let parent = if temporary.as_os_str().len() > 70 || !temporary.is_absolute() {
        PathBuf::from("/tmp")
    } else {
        temporary
    };
    Ok(parent.join(format!("steadfast-{}", port::random_hex::<6>()?)))
}

/// The state letter of a process in /proc, or `None` when it has ended, reaped or not.
fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold spaces and parentheses: proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(')')?;
    let state = fields.trim_start().chars().next()?;
    (!matches!(state, 'Z' | 'X')).then_some(state)
}
