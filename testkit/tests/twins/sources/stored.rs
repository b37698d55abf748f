//! Splits and states that are stored wrongly.

use testkit::reference::SourceFlaw;

use super::run;
use crate::Twin;

pub(crate) fn twins() -> Vec<Twin> {
    vec![
        Twin {
            name: "source_stores_without_envelope",
            rules: &["S-1"],
            rejected_by: &[
                "source::state::a_later_version_is_refused_by_name",
                "source::state::damage_is_an_error",
                "source::state::everything_is_in_the_envelope",
                "source::state::splits_and_states_differ_in_kind",
            ],
            run: || run(SourceFlaw::NoEnvelope),
        },
        Twin {
            name: "source_reads_later_versions",
            rules: &["S-2"],
            rejected_by: &["source::state::a_later_version_is_refused_by_name"],
            run: || run(SourceFlaw::ReadsLater),
        },
        Twin {
            name: "source_panics_on_damaged_state",
            rules: &["S-3", "F-4"],
            rejected_by: &["source::state::damage_is_an_error"],
            run: || run(SourceFlaw::PanicsOnDamage),
        },
        Twin {
            name: "source_stores_all_as_one_kind",
            rules: &["S-4"],
            rejected_by: &["source::state::splits_and_states_differ_in_kind"],
            run: || run(SourceFlaw::SameKind),
        },
    ]
}
