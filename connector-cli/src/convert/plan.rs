//! What stands between two ends, decided from what they carry. No input or output here.

use connector_api::factory::Payload;

/// What an end can carry with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    /// As messages: what their values are; none for not at all.
    pub(super) messages: Option<Payload>,
    /// Whether as columns.
    pub(super) columns: bool,
}

/// What flows, and what is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Messages, as they are.
    Messages,
    /// Columns, as they are.
    Columns,
    /// JSON objects become columns.
    ToColumns,
    /// Columns become JSON objects.
    ToMessages,
    /// Records become JSON objects that hold key, value and where they stood.
    RecordsToMessages,
    /// Records become columns of key, value and where they stood.
    RecordsToColumns,
}

/// Why nothing can stand between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// What the source carries.
    pub(super) carries: Payload,
    /// What the sink takes.
    pub(super) takes: Payload,
}

/// Decides. A source that could do with messages speaks columns only when it was told their names and types, so that is what
/// is wanted of it. An end carries at least one of both.
pub(super) fn decide(source: Carried, sink: Carried) -> Result<Plan, Misfit> {
    if source.columns && sink.columns {
        return Ok(Plan::Columns);
    }
    match (source.messages, sink.messages) {
        (_, Some(Payload::Bytes | Payload::Json)) if source.columns => Ok(Plan::ToMessages),
        (Some(carries), Some(takes)) if carries == takes || takes == Payload::Bytes => Ok(Plan::Messages),
        (Some(Payload::Json), _) if sink.columns => Ok(Plan::ToColumns),
        // Text that is written as it is needs no columns on the way.
        (Some(Payload::Records), Some(Payload::Json)) => Ok(Plan::RecordsToMessages),
        (Some(Payload::Records), _) if sink.columns => Ok(Plan::RecordsToColumns),
        (carries, takes) => Err(Misfit {
            carries: carries.unwrap_or(Payload::Columns),
            takes: takes.unwrap_or(Payload::Columns),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: Carried = Carried { messages: Some(Payload::Bytes), columns: false };
    const JSON: Carried = Carried { messages: Some(Payload::Json), columns: false };
    const COLUMNS: Carried = Carried { messages: None, columns: true };
    const EITHER: Carried = Carried { messages: Some(Payload::Json), columns: true };

    #[test]
    fn what_fits_is_not_converted() {
        for (source, sink) in [(BYTES, BYTES), (JSON, BYTES), (JSON, JSON), (JSON, EITHER)] {
            assert_eq!(decide(source, sink), Ok(Plan::Messages), "{source:?} {sink:?}");
        }
        for (source, sink) in [(COLUMNS, COLUMNS), (EITHER, COLUMNS), (COLUMNS, EITHER), (EITHER, EITHER)] {
            assert_eq!(decide(source, sink), Ok(Plan::Columns), "{source:?} {sink:?}");
        }
    }

    #[test]
    fn json_becomes_columns_and_columns_become_json() {
        assert_eq!(decide(JSON, COLUMNS), Ok(Plan::ToColumns));
        assert_eq!(decide(COLUMNS, JSON), Ok(Plan::ToMessages));
        assert_eq!(decide(COLUMNS, BYTES), Ok(Plan::ToMessages));
        assert_eq!(decide(EITHER, JSON), Ok(Plan::ToMessages), "typed, since the source was told types");
    }

    #[test]
    fn records_become_what_holds_all_of_them_unless_bytes_will_do() {
        let records = Carried { messages: Some(Payload::Records), columns: false };
        assert_eq!(decide(records, BYTES), Ok(Plan::Messages));
        assert_eq!(decide(records, JSON), Ok(Plan::RecordsToMessages));
        assert_eq!(decide(records, EITHER), Ok(Plan::RecordsToMessages));
        assert_eq!(decide(records, COLUMNS), Ok(Plan::RecordsToColumns));
    }

    #[test]
    fn bytes_become_nothing_else() {
        let misfit = |takes| Err(Misfit { carries: Payload::Bytes, takes });
        assert_eq!(decide(BYTES, JSON), misfit(Payload::Json));
        assert_eq!(decide(BYTES, EITHER), misfit(Payload::Json));
        assert_eq!(decide(BYTES, COLUMNS), misfit(Payload::Columns));
    }
}
