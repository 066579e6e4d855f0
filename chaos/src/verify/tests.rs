//! Hand-made histories: the right one passes, and each wrong one is found and named.

use super::*;

const TOPIC: &str = "outputs";

fn place(partition: i32, offset: i64) -> Place {
    Place { partition, offset, timestamp_ms: 0 }
}

/// Two keys with three inputs each, numbered through.
fn inputs() -> Inputs {
    let record = |offset: i64| {
        let (key, sequence) = (u32::from(offset % 2 == 1), offset / 2 + 1);
        InputRecord { place: place(0, offset), key, sequence, number: offset + 1 }
    };
    let (inputs, findings) = Inputs::read(&(0..6).map(record).collect::<Vec<_>>(), &[1, 2, 3, 4, 5, 6]);
    assert_eq!(findings, []);
    inputs
}

fn output(offset: i64, key: u32, sequence: i64) -> OutputRecord {
    let number = (sequence - 1) * 2 + i64::from(key) + 1;
    OutputRecord { place: place(0, offset), key, sequence, says: Says::Number(number), process: "p".into() }
}

/// The outputs in an order that is right: keys may overtake each other.
fn outputs() -> Vec<OutputRecord> {
    let order = [(0, 1), (0, 2), (1, 1), (0, 3), (1, 2), (1, 3)];
    (0..).zip(order).map(|(offset, (key, sequence))| output(offset, key, sequence)).collect()
}

/// Key 0 has the numbers 1, 3, 5 and key 1 has 2, 4, 6.
fn rows() -> Vec<OutputRecord> {
    let row = |record: OutputRecord| {
        let sum = (1..=record.sequence).map(|sequence| (sequence - 1) * 2 + i64::from(record.key) + 1).sum();
        OutputRecord { says: Says::Row { count: record.sequence, sum }, ..record }
    };
    outputs().into_iter().map(row).collect()
}

/// The only finding of a topic's judgement, as it is printed.
fn only(findings: Vec<Finding>) -> String {
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings[0].to_string()
}

#[test]
fn what_is_right_passes() {
    assert_eq!(judge_topic(&inputs(), TOPIC, &outputs()), []);
    assert_eq!(judge_topic(&inputs(), TOPIC, &rows()), []);
    assert_eq!(judge_table(&inputs(), TOPIC, &rows()), []);
}

#[test]
fn a_lost_record_is_named_with_its_input() {
    let mut outputs = outputs();
    outputs.remove(4);
    assert_eq!(
        only(judge_topic(&inputs(), TOPIC, &outputs)),
        "LOST outputs: input 0@3, number 4, k1 #2, has no record"
    );
}

#[test]
fn all_records_of_a_key_may_be_lost() {
    let outputs: Vec<_> = outputs().into_iter().filter(|record| record.key == 0).collect();
    let findings = judge_topic(&inputs(), TOPIC, &outputs);
    assert_eq!(findings.len(), 3);
    assert!(findings.iter().all(|finding| finding.kind() == Kind::Lost));
}

#[test]
fn a_doubled_record_is_named_with_its_places_and_is_not_out_of_order_as_well() {
    let mut outputs = outputs();
    outputs.push(output(9, 0, 2));
    assert_eq!(
        only(judge_topic(&inputs(), TOPIC, &outputs)),
        "DOUBLED outputs: input 0@2, number 3, k0 #2, has 2: 0@1 by p 0@9 by p"
    );
}

#[test]
fn swapped_records_of_one_key_are_out_of_order() {
    let mut outputs = outputs();
    outputs[4] = output(4, 1, 3);
    outputs[5] = output(5, 1, 2);
    assert_eq!(
        only(judge_topic(&inputs(), TOPIC, &outputs)),
        "DISORDERED outputs: k1 #2 at 0@5 by p stands behind #3 at 0@4 by p"
    );
}

#[test]
fn a_key_in_two_partitions_has_no_order() {
    let mut outputs = outputs();
    outputs[5].place = place(1, 0);
    assert_eq!(only(judge_topic(&inputs(), TOPIC, &outputs)), "SCATTERED outputs: k1 stands at 0@4 and at 1@0");
}

#[test]
fn an_output_with_another_ones_number_is_wrong() {
    let mut outputs = outputs();
    outputs[0].says = Says::Number(6);
    assert_eq!(
        only(judge_topic(&inputs(), TOPIC, &outputs)),
        "WRONG outputs: k0 #1 at 0@0 by p says number 6, by input 0@0 it is number 1"
    );
}

#[test]
fn an_output_of_no_input_is_unknown() {
    let mut outputs = outputs();
    outputs.push(output(6, 0, 4));
    outputs.push(output(7, 9, 1));
    let findings = judge_topic(&inputs(), TOPIC, &outputs);
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].to_string(), "UNKNOWN outputs: k0 #4 at 0@6 by p stems from no input");
}

#[test]
fn a_row_that_counted_an_input_twice_is_wrong_though_each_input_has_its_row() {
    let mut rows = rows();
    rows[1].says = Says::Row { count: 3, sum: 7 };
    assert_eq!(
        only(judge_topic(&inputs(), TOPIC, &rows)),
        "WRONG outputs: k0 #2 at 0@1 by p says count 3, sum 7, by input 0@2 it is count 2, sum 4"
    );
}

#[test]
fn a_table_that_does_not_end_with_the_fold_is_wrong() {
    let mut rows = rows();
    rows.pop();
    assert_eq!(
        only(judge_table(&inputs(), "totals", &rows)),
        "TABLE totals: k1 ends at 0@4 with count 2, sum 6 by p, the fold of its inputs is count 3, sum 12"
    );
    rows.retain(|row| row.key == 0);
    assert_eq!(
        only(judge_table(&inputs(), "totals", &rows)),
        "TABLE totals: k1 has no row, the fold of its inputs is count 3, sum 12"
    );
}

#[test]
fn what_a_reader_saw_must_stay() {
    let observed = [(place(0, 0), 0, 1), (place(0, 1), 1, 1)];
    assert_eq!(
        only(judge_observed(TOPIC, &observed, &outputs())),
        "VANISHED outputs: k1 #1 was read at 0@1 during the run, and is not there now"
    );
}

#[test]
fn the_input_topic_is_held_against_what_was_acknowledged() {
    let input = |offset, sequence, number| InputRecord { place: place(0, offset), key: 0, sequence, number };
    let (_, findings) = Inputs::read(&[input(0, 1, 1), input(1, 3, 3)], &[1, 2]);
    let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["INPUT 0@1: #3 where #2 comes next", "INPUT number 2 was acknowledged and is gone"]);
}
