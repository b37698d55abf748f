//! A real Kafka: started, killed, frozen, put behind a proxy, and gone when its test is gone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use testkit::brokers::{Broker, BrokerError, Kafka, KafkaClient, Mode, Recipe, trial};
use testkit::proxy::{Direction, Proxy, Reach};

/// A test that needs Kafka.
type Test = fn() -> Result<(), Failed>;

/// Makes this program a test process that starts Kafka, says where, and never ends by itself.
const ORPHAN: &str = "TESTKIT_TEST_ORPHAN";

fn main() -> ExitCode {
    if std::env::var_os(ORPHAN).is_some() {
        return start_and_wait_for_ever();
    }
    let tests: [(&str, Test); 6] = [
        ("data_is_kept_through_sigkill_and_restart_on_the_same_ports", kill_and_restart),
        ("a_frozen_broker_answers_again_after_resume", pause_and_resume),
        ("two_brokers_run_side_by_side", two_brokers),
        ("a_broker_starts_and_ends_inside_a_runtime", inside_a_runtime),
        ("a_client_behind_the_proxy_stays_behind_it", behind_a_proxy),
        ("a_broker_that_dies_at_start_shows_its_log", dies_at_start),
    ];
    let mut trials: Vec<_> = tests.into_iter().map(|(name, test)| trial(name, Kafka::new(), test)).collect();
    // These are about child processes of a test.
    if Mode::from_env() == Ok(Mode::Process) {
        trials.push(trial("a_killed_test_leaves_no_broker_and_no_data_behind", Kafka::new(), orphan));
        trials.push(Trial::test("without_java_a_plain_line_says_what_to_install", without_java));
        trials.push(trial("a_failing_test_shows_the_log", Kafka::new(), failing_test));
    }
    trials.push(Trial::test("a_port_that_accepts_and_is_silent_is_not_ready", silent_server));
    trials.push(Trial::test("a_port_that_answers_something_else_is_not_ready", babbling_server));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn topics(address: std::net::SocketAddr) -> Result<Vec<(String, usize)>, Failed> {
    Ok(KafkaClient::connect(address)?.metadata()?.topics)
}

fn kill_and_restart() -> Result<(), Failed> {
    let mut kafka = Broker::start(Kafka::new())?;
    let address = kafka.address();
    KafkaClient::connect(address)?.create_topic("kept", 3)?;
    kafka.kill()?;
    assert!(KafkaClient::connect(address).is_err(), "a killed broker still accepts");
    assert!(matches!(kafka.pause(), Err(BrokerError::State { .. } | BrokerError::Container { .. })));
    kafka.restart()?;
    assert_eq!(kafka.address(), address);
    assert_eq!(topics(address)?, [("kept".to_owned(), 3)]);
    assert!(kafka.restart().is_err(), "what runs must not be started a second time");
    kafka.terminate()?;
    assert!(KafkaClient::connect(address).is_err(), "a terminated broker still accepts");
    let dir = kafka.data_dir().map(Path::to_owned);
    drop(kafka);
    assert!(!dir.is_some_and(|dir| dir.exists()), "the data was left behind");
    Ok(())
}

/// A container has a runtime of its own, which must not be in the way of the caller's.
fn inside_a_runtime() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let kafka = Broker::start(Kafka::new())?;
        assert!(topics(kafka.address())?.is_empty());
        Ok(())
    })
}

fn pause_and_resume() -> Result<(), Failed> {
    let mut kafka = Broker::start(Kafka::new())?;
    let mut client = KafkaClient::connect(kafka.address())?;
    kafka.pause()?;
    let frozen = client.metadata().unwrap_err();
    assert!(
        matches!(frozen.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        "{frozen}"
    );
    assert!(Kafka::new().ready(kafka.address()).is_err(), "the kernel accepts, Kafka does not answer");
    kafka.resume()?;
    KafkaClient::connect(kafka.address())?.metadata()?;
    // What is frozen can be killed too.
    kafka.pause()?;
    kafka.kill()?;
    Ok(())
}

fn two_brokers() -> Result<(), Failed> {
    let one = Broker::start(Kafka::new())?;
    let two = Broker::start(Kafka::new().with("num.partitions", "5"))?;
    assert_ne!(one.address(), two.address());
    KafkaClient::connect(one.address())?.create_topic("of-one", 1)?;
    assert_eq!(topics(one.address())?.len(), 1);
    assert_eq!(topics(two.address())?, []);
    Ok(())
}

fn behind_a_proxy() -> Result<(), Failed> {
    let proxy = Proxy::listen()?;
    let kafka = Broker::start(Kafka::new().behind(proxy.address()))?;
    proxy.forward_to(kafka.address_of(Kafka::PROXIED));

    let mut through = KafkaClient::connect(proxy.address())?;
    assert_eq!(through.metadata()?.brokers, [proxy.address().to_string()]);
    let mut past = KafkaClient::connect(kafka.address())?;
    assert_eq!(past.metadata()?.brokers, [kafka.address().to_string()]);

    proxy.stall(Direction::ToClient, Reach::All);
    assert!(through.metadata().is_err(), "answers pass a stalled proxy");
    past.metadata().map_err(|e| format!("the way past the proxy is hit too: {e}"))?;
    proxy.heal()?;
    KafkaClient::connect(proxy.address())?.metadata()?;

    let mut cut = KafkaClient::connect(proxy.address())?;
    proxy.cut_after(Direction::ToClient, 7);
    assert_eq!(cut.metadata().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    Ok(())
}

fn dies_at_start() -> Result<(), Failed> {
    let error = Broker::start(Kafka::new().with("num.io.threads", "none")).unwrap_err().to_string();
    assert!(error.contains("num.io.threads"), "the log is not shown: {error}");
    Ok(())
}

/// A probe of TCP alone would call this ready.
fn silent_server() -> Result<(), Failed> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let why = Kafka::new().ready(silent.local_addr()?).unwrap_err();
    assert!(why.contains("ApiVersions"), "{why}");
    Ok(())
}

fn babbling_server() -> Result<(), Failed> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    let babbler = std::thread::spawn(move || {
        let (mut stream, _) = server.accept()?;
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    assert!(Kafka::new().ready(address).is_err());
    babbler.join().unwrap()?;
    Ok(())
}

fn start_and_wait_for_ever() -> ExitCode {
    let kafka = Broker::start(Kafka::new()).expect("start");
    match std::env::var(ORPHAN).as_deref() {
        Ok("panic") => panic!("the test fails"),
        Ok("error") => {
            let fails = trial("fails", Kafka::new(), move || {
                drop(kafka);
                Err("the test fails".into())
            });
            let arguments = Arguments { nocapture: true, ..Arguments::default() };
            return libtest_mimic::run(&arguments, vec![fails]).exit_code();
        }
        _ => {}
    }
    println!("{}\n{}", kafka.pid().expect("a process"), kafka.data_dir().expect("a directory").display());
    loop {
        std::thread::park();
    }
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().expect("the path of this program"))
}

fn orphan() -> Result<(), Failed> {
    let mut test = this_program().env(ORPHAN, "1").stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines();
    let said = (lines.next(), lines.next());
    let (Some(pid), Some(dir)) = said else {
        test.wait()?;
        return Err("the test process did not start Kafka".into());
    };
    let (process, dir) = (PathBuf::from(format!("/proc/{}", pid?)), PathBuf::from(dir?));
    assert!(process.exists() && dir.join("server.properties").exists());
    test.kill()?; // SIGKILL: nothing of the test runs any more
    test.wait()?;
    assert!(eventually(|| is_gone(&process) && !dir.exists()), "left: {process:?} or {dir:?}");
    Ok(())
}

fn failing_test() -> Result<(), Failed> {
    for how in ["panic", "error"] {
        let test = this_program().env(ORPHAN, how).output()?;
        let text = String::from_utf8_lossy(&[test.stdout, test.stderr].concat()).into_owned();
        assert!(!test.status.success());
        assert!(text.contains("the test fails") && text.contains("Kafka Server started"), "{how}: {text}");
    }
    Ok(())
}

/// Gone, or a zombie that the system's first process has yet to collect.
fn is_gone(process: &Path) -> bool {
    match std::fs::read_to_string(process.join("stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

/// Real processes end in real time; the bound is generous.
#[allow(clippy::disallowed_methods)]
fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn without_java() -> Result<(), Failed> {
    let run = |ci: bool| {
        let mut test = this_program();
        test.args(["--exact", "two_brokers_run_side_by_side"]).env("PATH", "/nonexistent").env_remove("CI");
        if ci {
            test.env("CI", "true");
        }
        test.output()
    };
    let line = "Kafka can't start here: java (17 or later) is not on the PATH \
        (Debian: apt-get install default-jre-headless)";

    let at_a_desk = run(false)?;
    let text = String::from_utf8_lossy(&at_a_desk.stdout).into_owned();
    assert!(text.contains(line) && text.contains("0 passed; 0 failed; 1 ignored"), "{text}");
    assert!(at_a_desk.status.success());

    let in_ci = run(true)?;
    let text = String::from_utf8_lossy(&in_ci.stdout).into_owned();
    assert!(text.contains(line) && text.contains("0 passed; 1 failed; 0 ignored"), "{text}");
    assert!(!in_ci.status.success());
    Ok(())
}
