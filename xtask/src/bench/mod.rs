//! placeholder
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {}
pub(crate) fn run(_: &Arguments) -> crate::Result {
    Ok(())
}
