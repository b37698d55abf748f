//! Factories that break a rule, in their source and their sink alike.

use std::collections::BTreeSet;

use testkit::factory;
use testkit::reference::{FactoryFlaw, MemoryFactory};

use super::{Twin, rejecting};

fn run(flaw: FactoryFlaw) -> BTreeSet<&'static str> {
    let capabilities = factory::capabilities(&MemoryFactory::new(flaw));
    rejecting(factory::checks(), |_| MemoryFactory::new(flaw), &capabilities)
}

/// A twin whose flaw the check of this name rejects, once in the source and once in the sink.
macro_rules! twin {
    ($name:literal, $rules:expr, $check:literal, $flaw:expr) => {
        Twin {
            name: $name,
            rules: $rules,
            rejected_by: &[concat!("factory::source::", $check), concat!("factory::sink::", $check)],
            run: || run($flaw),
        }
    };
}

const SECRETS: &[&str] = &["factory::secrets_are_never_shown_and_never_stored"];

pub(crate) fn twins() -> Vec<Twin> {
    vec![
        Twin { name: "sound_factory", rules: &[], rejected_by: &[], run: || run(FactoryFlaw::None) },
        twin!(
            "factory_does_not_document_an_option",
            &["K-1"],
            "every_option_is_listed_and_documented",
            FactoryFlaw::Undocumented
        ),
        twin!(
            "factory_takes_an_option_that_it_does_not_list",
            &["K-1"],
            "every_option_is_listed_and_documented",
            FactoryFlaw::Unlisted
        ),
        twin!(
            "factory_documents_a_default_that_it_refuses",
            &["K-1"],
            "a_documented_default_is_accepted",
            FactoryFlaw::FalseDefault
        ),
        twin!(
            "factory_ignores_unknown_options",
            &["K-2"],
            "an_unknown_option_is_refused_by_name",
            FactoryFlaw::TakesUnknown
        ),
        twin!(
            "factory_does_not_name_a_missing_option",
            &["K-2"],
            "a_missing_option_is_refused_by_name",
            FactoryFlaw::MissingUnnamed
        ),
        twin!(
            "factory_does_not_name_an_option_with_a_wrong_value",
            &["K-3"],
            "a_value_of_a_wrong_type_is_refused_by_name",
            FactoryFlaw::WrongUnnamed
        ),
        twin!(
            "factory_looks_at_files_when_it_creates",
            &["K-4"],
            "create_does_no_input_or_output",
            FactoryFlaw::CreateLooks
        ),
        twin!(
            "factory_starts_a_task_when_it_creates",
            &["K-4"],
            "create_does_no_input_or_output",
            FactoryFlaw::CreateSpawns
        ),
        twin!(
            "factory_forgets_the_identity",
            &["K-5"],
            "the_identity_tells_data_apart_and_nothing_else",
            FactoryFlaw::ForgetsIdentity
        ),
        twin!(
            "factory_makes_tuning_part_of_the_identity",
            &["K-5"],
            "the_identity_tells_data_apart_and_nothing_else",
            FactoryFlaw::TuningIsIdentity
        ),
        twin!(
            "factory_check_makes_a_directory",
            &["K-6"],
            "check_finds_what_is_out_of_reach_and_changes_nothing",
            FactoryFlaw::CheckMakes
        ),
        twin!(
            "factory_check_accepts_everything",
            &["K-6"],
            "check_finds_what_is_out_of_reach_and_changes_nothing",
            FactoryFlaw::CheckAccepts
        ),
        twin!(
            "factory_check_takes_options_that_create_refuses",
            &["K-6"],
            "check_finds_what_is_out_of_reach_and_changes_nothing",
            FactoryFlaw::CheckTakesUnknown
        ),
        Twin {
            name: "factory_shows_a_secret",
            rules: &["F-1"],
            rejected_by: SECRETS,
            run: || run(FactoryFlaw::ShowsSecret),
        },
        Twin {
            name: "factory_makes_a_secret_part_of_the_identity",
            rules: &["S-5"],
            rejected_by: SECRETS,
            run: || run(FactoryFlaw::SecretIsIdentity),
        },
    ]
}
