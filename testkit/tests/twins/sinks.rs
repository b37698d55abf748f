//! Sinks that break a rule.

use std::collections::BTreeSet;

use testkit::reference::{LedgerContext, Shape, ShelfContext, ShelfFlaw, SinkFlaw};
use testkit::{sim, sink};

use super::tolerant::Tolerant;
use super::{Twin, rejecting};

fn run(shape: Shape, flaw: SinkFlaw) -> BTreeSet<&'static str> {
    let make = move || LedgerContext::shaped(shape, flaw);
    let capabilities = sim::run(async { sink::capabilities(&mut make()) });
    rejecting(sink::checks(), move |_| make(), &capabilities)
}

/// With the checks that let processes die at crash points, which are many runs.
fn run_dying(shape: Shape, flaw: SinkFlaw) -> BTreeSet<&'static str> {
    let make = move || LedgerContext::shaped(shape, flaw).with_crash_points();
    let capabilities = sim::run(async { sink::capabilities(&mut make()) });
    rejecting(sink::checks(), move |_| make(), &capabilities)
}

/// A sink in files.
fn run_files(flaw: ShelfFlaw) -> BTreeSet<&'static str> {
    let capabilities = sim::run(async { sink::capabilities(&mut ShelfContext::new(flaw)) });
    rejecting(sink::checks(), move |_| ShelfContext::new(flaw), &capabilities)
}

/// A sink whose committer decodes nothing that is damaged, and says that it is done.
fn run_tolerant() -> BTreeSet<&'static str> {
    let capabilities = sim::run(async { sink::capabilities(&mut Tolerant::default()) });
    rejecting(sink::checks(), |_| Tolerant::default(), &capabilities)
}

macro_rules! twins {
    ($($name:ident breaks $rules:expr, $run:ident($($how:expr),*): [$($check:literal),* $(,)?];)*) => {
        vec![$(Twin {
            name: stringify!($name),
            rules: &$rules,
            rejected_by: &[$(concat!("sink::", $check)),*],
            run: || $run($($how),*),
        }),*]
    };
}

pub(crate) fn twins() -> Vec<Twin> {
    use Shape::{AtLeastOnce, Grouped, Open, TwoPhase};
    twins! {
        sound_sink breaks [], run_dying(TwoPhase, SinkFlaw::None): [];
        sound_sink_at_least_once breaks [], run(AtLeastOnce, SinkFlaw::None): [];
        sound_sink_with_open_parts breaks [], run_dying(Open, SinkFlaw::None): [];
        sound_sink_that_merges breaks [], run_dying(Grouped, SinkFlaw::None): [];
        sink_keeps_a_row_back breaks ["W-1"], run(TwoPhase, SinkFlaw::KeepsBack): [
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
            "writer::what_was_flushed_survives_the_process",
        ];
        sink_keeps_a_row_back_at_least_once breaks ["W-1"], run(AtLeastOnce, SinkFlaw::KeepsBack): [
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::what_was_flushed_survives_the_process",
        ];
        sink_swallows_errors breaks ["W-1"], run(TwoPhase, SinkFlaw::SwallowsErrors): [
            "whole::rows_outlive_outages_of_the_system",
            "writer::a_flush_reports_every_earlier_failure",
        ];
        sink_swallows_errors_at_least_once breaks ["W-1"], run(AtLeastOnce, SinkFlaw::SwallowsErrors): [
            "whole::rows_outlive_outages_of_the_system",
            "writer::a_flush_reports_every_earlier_failure",
        ];
        sink_waits_for_a_broken_system_for_ever breaks ["F-5"], run(TwoPhase, SinkFlaw::WaitsForEver): [
            "whole::rows_outlive_outages_of_the_system",
            "writer::a_flush_reports_every_earlier_failure",
        ];
        sink_takes_damaged_bytes_for_committed breaks ["S-3"], run_tolerant(): [
            "state::damaged_and_later_bytes_are_refused",
        ];
        sink_goes_on_with_the_parts_of_a_savepoint breaks ["W-2"], run(Open, SinkFlaw::ChangesSavepoint): [
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
        ];
        sink_leaves_a_part_open_at_the_end breaks ["W-3"], run(Open, SinkFlaw::StaysOpenAtTheEnd): [
            "committer::a_broken_system_is_a_reason_to_try_again",
            "committer::a_memory_is_no_proof",
            "committer::bytes_alone_are_enough",
            "committer::committing_again_changes_nothing",
            "committer::going_back_is_no_loss",
            "committer::what_is_committed_is_visible",
            "committer::what_is_gone_is_lost",
            "state::damaged_and_later_bytes_are_refused",
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_flush_reports_every_earlier_failure",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
            "writer::any_number_of_states_is_taken",
            "writer::attempts_do_not_share_names",
            "writer::idle_may_be_dropped_at_any_time",
            "writer::nothing_is_left_at_the_end_of_the_input",
            "writer::nothing_is_visible_before_the_commit",
            "writer::what_was_flushed_survives_the_process",
            "writer::writers_do_not_share_names",
        ];
        sink_opens_a_part_at_the_end breaks ["W-3"], run(Open, SinkFlaw::OpensAtTheEnd): [
            "committer::going_back_is_no_loss",
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::an_empty_input_ends",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_flush_reports_every_earlier_failure",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
            "writer::any_number_of_states_is_taken",
            "writer::nothing_is_left_at_the_end_of_the_input",
            "writer::what_was_flushed_survives_the_process",
        ];
        sink_publishes_before_the_commit breaks ["W-4"], run(TwoPhase, SinkFlaw::PublishesEarly): [
            "committer::a_memory_is_no_proof",
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::attempts_do_not_share_names",
            "writer::closing_publishes_nothing",
            "writer::nothing_is_visible_before_the_commit",
        ];
        sink_names_without_the_attempt breaks ["W-5"], run(TwoPhase, SinkFlaw::NamesWithoutAttempt): [
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::attempts_do_not_share_names",
        ];
        sink_names_without_the_writer breaks ["W-5"], run(TwoPhase, SinkFlaw::NamesWithoutSubtask): [
            "committer::bytes_alone_are_enough",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::writers_do_not_share_names",
        ];
        sink_takes_one_state breaks ["W-6"], run(Open, SinkFlaw::TakesOneState): [
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::any_number_of_states_is_taken",
        ];
        sink_forgets_a_row_when_idle_is_dropped breaks ["W-7"], run(TwoPhase, SinkFlaw::IdleForgets): [
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::idle_may_be_dropped_at_any_time",
        ];
        sink_undoes_aborted_checkpoints breaks ["W-8"], run(TwoPhase, SinkFlaw::UndoesAborted): [
            "committer::a_broken_system_is_a_reason_to_try_again",
            "committer::bytes_alone_are_enough",
            "committer::committing_again_changes_nothing",
            "committer::going_back_is_no_loss",
            "committer::what_is_committed_is_visible",
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::what_an_aborted_checkpoint_staged_comes_with_the_next",
            "writer::what_was_flushed_survives_the_process",
        ];
        sink_publishes_when_closed breaks ["W-9"], run(TwoPhase, SinkFlaw::ClosePublishes): [
            "writer::closing_publishes_nothing",
        ];
        sink_leaks_a_task breaks ["W-10"], run(TwoPhase, SinkFlaw::LeaksTask): [
            "whole::nothing_is_held_when_the_job_has_ended",
            "writer::closing_gives_up_what_is_held",
        ];
        committer_needs_its_own_attempt breaks ["C-1"], run(TwoPhase, SinkFlaw::NeedsItsAttempt): [
            "committer::a_broken_system_is_a_reason_to_try_again",
            "committer::bytes_alone_are_enough",
            "committer::committing_again_changes_nothing",
            "committer::what_is_committed_is_visible",
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_flush_reports_every_earlier_failure",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
            "writer::what_was_flushed_survives_the_process",
        ];
        committer_publishes_again breaks ["C-2"], run(TwoPhase, SinkFlaw::CommitsAgain): [
            "committer::committing_again_changes_nothing",
            "committer::going_back_is_no_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
        ];
        committer_answers_too_early breaks ["C-3"], run(TwoPhase, SinkFlaw::AnswersTooEarly): [
            "committer::a_broken_system_is_a_reason_to_try_again",
            "committer::a_memory_is_no_proof",
            "committer::bytes_alone_are_enough",
            "committer::going_back_is_no_loss",
            "committer::what_is_committed_is_visible",
            "committer::what_is_gone_is_lost",
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_flush_reports_every_earlier_failure",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
            "writer::attempts_do_not_share_names",
            "writer::idle_may_be_dropped_at_any_time",
            "writer::nothing_is_left_at_the_end_of_the_input",
            "writer::what_an_aborted_checkpoint_staged_comes_with_the_next",
            "writer::what_was_flushed_survives_the_process",
            "writer::writers_do_not_share_names",
        ];
        committer_trusts_its_memory breaks ["C-4"], run(TwoPhase, SinkFlaw::TrustsMemory): [
            "committer::a_broken_system_is_a_reason_to_try_again",
            "committer::a_memory_is_no_proof",
            "whole::rows_outlive_outages_of_the_system",
        ];
        committer_hides_a_loss breaks ["C-5"], run(TwoPhase, SinkFlaw::HidesLoss): [
            "committer::a_memory_is_no_proof",
            "committer::what_is_gone_is_lost",
        ];
        committer_takes_going_back_for_a_loss breaks ["C-5"], run(TwoPhase, SinkFlaw::GoingBackIsLoss): [
            "committer::going_back_is_no_loss",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
        ];
        committer_gives_up breaks ["C-6"], run(TwoPhase, SinkFlaw::GivesUp): [
            "committer::a_broken_system_is_a_reason_to_try_again",
            "whole::rows_outlive_outages_of_the_system",
        ];
        committer_publishes_in_two_steps breaks ["C-7"], run_dying(TwoPhase, SinkFlaw::TwoSteps): [
            "committer::a_death_in_the_commit_is_repaired_by_committing_again",
            "crash::a_death_at_any_crash_point_loses_and_doubles_nothing",
            "crash::a_second_death_while_the_first_is_recovered_from_loses_and_doubles_nothing",
            "crash::what_is_seen_after_a_death_is_what_the_readme_says",
        ];
        stage_publishes breaks ["O-1"], run(Grouped, SinkFlaw::StagePublishes): [
            "committer::a_memory_is_no_proof",
            "committer::bytes_alone_are_enough",
            "committer::what_is_gone_is_lost",
            "operator::a_stage_publishes_nothing",
            "operator::work_is_repeatable_from_the_state",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::nothing_is_visible_before_the_commit",
        ];
        stage_consumes_its_inputs breaks ["O-2"], run(Grouped, SinkFlaw::ConsumesInputs): [
            "operator::work_is_repeatable_from_the_state",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
        ];
        stage_forgets_what_it_holds breaks ["O-3"], run(Grouped, SinkFlaw::ForgetsHeld): [
            "operator::what_is_held_back_is_in_the_state",
            "operator::work_is_repeatable_from_the_state",
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_flush_reports_every_earlier_failure",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
            "writer::what_was_flushed_survives_the_process",
        ];
        stage_needs_each_notice breaks ["O-4"], run(Grouped, SinkFlaw::NeedsEachNotice): [
            "committer::a_broken_system_is_a_reason_to_try_again",
            "committer::a_memory_is_no_proof",
            "committer::bytes_alone_are_enough",
            "committer::committing_again_changes_nothing",
            "committer::going_back_is_no_loss",
            "committer::what_is_committed_is_visible",
            "committer::what_is_gone_is_lost",
            "operator::a_notice_that_was_missed_is_made_good_by_the_next",
            "operator::what_is_held_back_is_in_the_state",
            "operator::work_is_repeatable_from_the_state",
            "state::damaged_and_later_bytes_are_refused",
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            "sweep::what_is_visible_stays",
            "sweep::what_later_attempts_made_stays",
            "sweep::what_other_runs_made_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_flush_reports_every_earlier_failure",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
            "writer::what_an_aborted_checkpoint_staged_comes_with_the_next",
            "writer::what_was_flushed_survives_the_process",
        ];
        stage_waits_for_company_at_the_end breaks ["O-5"], run(Grouped, SinkFlaw::WaitsAtTheEnd): [
            "committer::going_back_is_no_loss",
            "operator::the_end_of_the_input_releases_everything",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
            "writer::attempts_do_not_share_names",
            "writer::idle_may_be_dropped_at_any_time",
            "writer::nothing_is_left_at_the_end_of_the_input",
        ];
        stage_behind_the_committer_works_once breaks ["O-6"], run(Grouped, SinkFlaw::CleansOnce): [
            "operator::work_is_repeatable_from_the_state",
            "post_commit::the_same_again_changes_nothing",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::a_savepoint_stays_valid_when_the_job_goes_on",
        ];
        sink_hides_what_is_absent breaks ["O-7"], run(TwoPhase, SinkFlaw::HidesWhatIsAbsent): [
            "plan::what_is_left_out_is_said",
        ];
        sweep_removes_nothing breaks ["X-1"], run(TwoPhase, SinkFlaw::SweepsNothing): [
            "sweep::orphans_of_earlier_attempts_are_removed",
            "sweep::what_references_name_stays",
            "whole::nothing_is_staged_when_the_job_has_ended",
        ];
        sweep_removes_what_references_name breaks ["X-1"], run(TwoPhase, SinkFlaw::SweepsReferenced): [
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::nothing_is_held_when_the_job_has_ended",
            "whole::nothing_is_staged_when_the_job_has_ended",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
        ];
        sweep_removes_what_other_runs_made breaks ["X-1"], run(TwoPhase, SinkFlaw::SweepsOtherRuns): [
            "sweep::what_other_runs_made_stays",
        ];
        sweep_removes_what_later_attempts_made breaks ["X-1"], run(TwoPhase, SinkFlaw::SweepsLaterAttempts): [
            "sweep::what_later_attempts_made_stays",
        ];
        sweep_removes_what_is_visible breaks ["X-2"], run(TwoPhase, SinkFlaw::SweepsVisible): [
            "sweep::what_is_visible_stays",
            "sweep::what_references_name_stays",
            "whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            "whole::no_row_is_lost_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            "whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            "whole::rows_outlive_aborted_checkpoints",
            "whole::rows_outlive_failed_attempts",
            "whole::rows_outlive_killed_processes",
            "whole::rows_outlive_missed_notices",
            "whole::rows_outlive_outages_of_the_system",
            "whole::rows_outlive_savepoints_and_rescales",
            "writer::attempts_do_not_share_names",
        ];
        sweep_passes_over_what_it_can_t_decode breaks ["X-3"], run(Open, SinkFlaw::SweepsUndecoded): [
            "sweep::a_reference_that_can_t_be_decoded_removes_nothing",
        ];
        sound_sink_in_files breaks [], run_files(ShelfFlaw::None): [];
        sink_does_not_sync_its_parts breaks ["W-1"], run_files(ShelfFlaw::PartsNotSynced): [
            "committer::a_death_in_the_commit_is_repaired_by_committing_again",
            "committer::what_is_committed_survives_a_power_cut",
            "crash::a_death_at_any_crash_point_loses_and_doubles_nothing",
            "crash::a_second_death_while_the_first_is_recovered_from_loses_and_doubles_nothing",
            "whole::rows_outlive_power_cuts",
            "writer::what_was_flushed_survives_a_power_cut",
        ];
        sink_does_not_sync_the_names_of_its_parts breaks ["W-1"], run_files(ShelfFlaw::NamesNotSynced): [
            "crash::a_death_at_any_crash_point_loses_and_doubles_nothing",
            "crash::a_second_death_while_the_first_is_recovered_from_loses_and_doubles_nothing",
            "writer::what_was_flushed_survives_a_power_cut",
        ];
        committer_does_not_sync breaks ["C-3"], run_files(ShelfFlaw::CommitsNotSynced): [
            "committer::a_death_in_the_commit_is_repaired_by_committing_again",
            "committer::what_is_committed_survives_a_power_cut",
            "whole::rows_outlive_power_cuts",
        ];
        committer_takes_a_name_for_durable breaks ["C-3"], run_files(ShelfFlaw::TrustsTheName): [
            "committer::a_death_in_the_commit_is_repaired_by_committing_again",
        ];
        sink_leaves_files_open breaks ["W-10"], run_files(ShelfFlaw::LeavesOpen): [
            "whole::nothing_is_held_when_the_job_has_ended",
            "writer::closing_gives_up_what_is_held",
        ];
    }
}
