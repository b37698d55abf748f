//! A system as a container, through testcontainers.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use testcontainers::bollard::models::PortBinding;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use testcontainers::core::ContainerPort;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::runtime::{Builder, Runtime};

use super::recipe::{Node, Recipe};
use super::{BrokerError, Missing, real};

/// Names the process whose test made a container: when that is gone, so should the container be.
const OWNER: &str = "connector-sdk.testkit.process";
/// What is left of the proper ways to end is killed after this.
const PULL_AND_CREATE: Duration = Duration::from_secs(10 * 60);

/// A container and the runtime that its client lives on.
pub(crate) struct Container {
    name: &'static str,
    runtime: Own,
    /// There until the drop.
    container: Option<ContainerAsync<GenericImage>>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.container.as_ref().map(|container| container.id());
        f.debug_struct("Container").field("name", &self.name).field("id", &id).finish_non_exhaustive()
    }
}

/// Is there an engine that answers?
pub(crate) fn check(recipe: &dyn Recipe) -> Result<(), Missing> {
    let remedy = "install and start docker, or set DOCKER_HOST; or unset TESTKIT_BROKERS to use java";
    let missing = |what: String| Missing::new(recipe.name(), &what, remedy);
    let runtime = runtime().map_err(|e| missing(e.to_string()))?;
    let answer = on(&runtime, async {
        let docker = docker_client_instance().await.map_err(|e| e.to_string())?;
        docker.ping().await.map_err(|e| e.to_string())
    });
    answer.map(|_| ()).map_err(|e| missing(format!("no container engine answers: {e}")))
}

impl Container {
    /// Starts it; it isn't ready yet.
    pub(crate) fn start(recipe: &dyn Recipe, node: &Node) -> Result<Self, BrokerError> {
        check(recipe)?;
        let runtime = runtime()?;
        let request = request(recipe, node);
        let container = on(&runtime, async {
            sweep().await?;
            request.start().await.map_err(refused("start a container"))
        })?;
        Ok(Self { name: recipe.name(), runtime, container: Some(container) })
    }

    /// After its end, on the same ports and with what it wrote.
    pub(crate) fn start_again(&self) -> Result<(), BrokerError> {
        if self.ended()?.is_none() {
            return Err(BrokerError::State { name: self.name, what: "is already running" });
        }
        self.with(async |container| container.start().await.map_err(refused("start a container again")))
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Result<Option<String>, BrokerError> {
        let code =
            self.with(async |container| container.exit_code().await.map_err(refused("inspect a container")))?;
        Ok(code.map(|code| format!("exit code {code}")))
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) -> Result<(), BrokerError> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        self.with(async |container| {
            let docker = docker_client_instance().await.map_err(refused("reach the container engine"))?;
            docker.kill_container(container.id(), None).await.map_err(refused("kill a container"))
        })?;
        // The engine answers before the process is gone.
        while self.ended()?.is_none() {
            real::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL when that does not end it in time.
    pub(crate) fn terminate(&self, limit: Duration) -> Result<(), BrokerError> {
        let seconds = i32::try_from(limit.as_secs()).unwrap_or(i32::MAX);
        self.with(async |container| {
            container.stop_with_timeout(Some(seconds)).await.map_err(refused("stop a container"))
        })
    }

    /// Freezes all its processes.
    pub(crate) fn pause(&self) -> Result<(), BrokerError> {
        self.with(async |container| container.pause().await.map_err(refused("pause a container")))
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) -> Result<(), BrokerError> {
        self.with(async |container| container.unpause().await.map_err(refused("resume a container")))
    }

    /// The last lines of what it printed.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        let text = self.with(async |container| {
            let out = container.stdout_to_vec().await.map_err(refused("read a log"))?;
            let err = container.stderr_to_vec().await.map_err(refused("read a log"))?;
            Ok([out, err].concat())
        });
        match text {
            Ok(bytes) => real::last_lines(&String::from_utf8_lossy(&bytes), lines),
            Err(error) => format!("({error})"),
        }
    }

    fn with<T: Send>(
        &self,
        work: impl AsyncFnOnce(&ContainerAsync<GenericImage>) -> Result<T, BrokerError> + Send,
    ) -> Result<T, BrokerError> {
        match &self.container {
            Some(container) => {
                let runtime = &self.runtime;
                apart(move || runtime.block_on(work(container)))
            }
            None => Err(BrokerError::State { name: self.name, what: "its container is gone" }),
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let Some(container) = self.container.take() else { return };
        let (name, keep) = (self.name, std::env::var_os("TESTKIT_KEEP").is_some_and(|value| value == "1"));
        on(&self.runtime, async move {
            if keep {
                eprintln!("{name} (TESTKIT_KEEP): container {} is left behind", container.id());
                std::mem::forget(container);
            } else if let Err(error) = container.rm().await {
                eprintln!("{name}: a container is left behind: {error}");
            }
        });
    }
}

/// The recipe's image, or the one that `TESTKIT_<NAME>_IMAGE` names, with its ports published on 127.0.0.1 under the same numbers.
fn request(recipe: &dyn Recipe, node: &Node) -> ContainerRequest<GenericImage> {
    let image = recipe.image(node);
    let variable = format!("TESTKIT_{}_IMAGE", recipe.name().to_uppercase());
    let name = std::env::var(variable).unwrap_or(image.name);
    let (repository, tag) = split(&name);
    let mut request = GenericImage::new(repository, tag)
        .with_label(OWNER, std::process::id().to_string())
        .with_startup_timeout(PULL_AND_CREATE);
    for (_, port) in &node.ports {
        // A fixed number: a dynamic one would change with each start.
        request = request.with_mapped_port(*port, ContainerPort::Tcp(*port));
    }
    for (key, value) in image.environment {
        request = request.with_env_var(key, value);
    }
    request.with_host_config_modifier(|host| {
        let bindings = host.port_bindings.iter_mut().flat_map(|ports| ports.values_mut()).flatten().flatten();
        for PortBinding { host_ip, .. } in bindings {
            *host_ip = Some("127.0.0.1".to_owned());
        }
    })
}

/// Name and tag; a colon before the last slash belongs to a registry's port.
fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

/// Removes containers of tests that died without dropping theirs.
async fn sweep() -> Result<(), BrokerError> {
    let docker = docker_client_instance().await.map_err(refused("reach the container engine"))?;
    let ours = std::collections::HashMap::from([("label", vec![OWNER])]);
    let all = ListContainersOptionsBuilder::new().all(true).filters(&ours).build();
    for found in docker.list_containers(Some(all)).await.map_err(refused("list containers"))? {
        let owner = found.labels.as_ref().and_then(|labels| labels.get(OWNER));
        let alive = owner.is_none_or(|process| Path::new("/proc").join(process).exists());
        if let (Some(id), false) = (found.id, alive) {
            let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            // Another test may be sweeping too; whoever comes second finds nothing.
            let _ = docker.remove_container(&id, Some(force)).await;
        }
    }
    Ok(())
}

/// A runtime of our own, which may be dropped inside of another.
struct Own(Option<Runtime>);

impl Own {
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(runtime) => runtime.block_on(work),
            None => unreachable!("it is there until the drop"),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A plain drop waits for its threads, which is refused inside of another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> Result<Own, BrokerError> {
    let built = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    Ok(Own(Some(built.map_err(super::error::doing("start a runtime"))?)))
}

fn on<T: Send>(runtime: &Own, work: impl Future<Output = T> + Send) -> T {
    apart(|| runtime.block_on(work))
}

/// On a thread of its own: the caller may itself be inside a runtime, where blocking on another is refused.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn refused<E: fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> BrokerError {
    move |error| BrokerError::Container { doing, what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_registry_is_no_tag() {
        assert_eq!(split("apache/kafka:4.3.1"), ("apache/kafka", "4.3.1"));
        assert_eq!(split("localhost:5000/kafka"), ("localhost:5000/kafka", "latest"));
        assert_eq!(split("localhost:5000/kafka:1"), ("localhost:5000/kafka", "1"));
    }
}
