//! The commands, one by one: what they print, and what they say of wrong input.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use expect_test::expect;
use serde_json::Value;
use support::{DEADLINE, Workplace, on_every_cluster};
use unchain::kafka::{Admin, NewTopic};

#[test]
fn processors_are_listed() {
    let workplace = Workplace::without_cluster();
    expect![[r#"
        verification  Checks each order against its customer's account and the catalogue.
        payment       Authorises each order within its customer's monthly limit.
        inventory     Sets units aside within each customer's daily allotment.
        shipping      Packs reserved units into parcels and ships them.
        email         Writes to the customer once an order is shipped or rejected.
        revenue       Adds up what was ordered, by customer and by month.
    "#]]
    .assert_eq(&workplace.done(&["run", "--list"]).stdout);
    let json = workplace.done(&["run", "revenue", "--list", "--json"]).json();
    assert_eq!(json[0]["reads"], serde_json::json!(["orders.placed", "revenue.sales"]));
}

#[test]
fn the_pipeline_is_drawn() {
    let workplace = Workplace::without_cluster();
    expect![[r#"
        verification
          Checks each order against its customer's account and the catalogue.
          reads     orders.placed
          looks up  customers.accounts, catalogue.items
          writes    orders.verified, orders.rejected

        payment
          Authorises each order within its customer's monthly limit.
          reads     orders.verified
          looks up  customers.accounts
          keeps     payment.charges
          writes    orders.paid, orders.rejected

        inventory
          Sets units aside within each customer's daily allotment.
          reads     orders.paid
          keeps     inventory.allotments
          writes    orders.reserved, orders.rejected

        shipping
          Packs reserved units into parcels and ships them.
          reads     orders.reserved
          writes    orders.shipped

        email
          Writes to the customer once an order is shipped or rejected.
          reads     orders.shipped, orders.rejected
          looks up  customers.accounts
          writes    emails.sent

        revenue
          Adds up what was ordered, by customer and by month.
          reads     orders.placed, revenue.sales
          keeps     revenue.customers, revenue.months
          writes    revenue.sales
    "#]]
    .assert_eq(&workplace.done(&["graph"]).stdout);
    expect![[r#"
        flowchart LR
            catalogue_items[(catalogue.items)]
            customers_accounts[(customers.accounts)]
            emails_sent[(emails.sent)]
            inventory_allotments[(inventory.allotments)]
            orders_paid[(orders.paid)]
            orders_placed[(orders.placed)]
            orders_rejected[(orders.rejected)]
            orders_reserved[(orders.reserved)]
            orders_shipped[(orders.shipped)]
            orders_verified[(orders.verified)]
            payment_charges[(payment.charges)]
            revenue_customers[(revenue.customers)]
            revenue_months[(revenue.months)]
            revenue_sales[(revenue.sales)]
            processor_verification["verification"]
            orders_placed --> processor_verification
            customers_accounts -. lookup .-> processor_verification
            catalogue_items -. lookup .-> processor_verification
            processor_verification --> orders_verified
            processor_verification --> orders_rejected
            processor_payment["payment"]
            orders_verified --> processor_payment
            customers_accounts -. lookup .-> processor_payment
            processor_payment -. table .- payment_charges
            processor_payment --> orders_paid
            processor_payment --> orders_rejected
            processor_inventory["inventory"]
            orders_paid --> processor_inventory
            processor_inventory -. table .- inventory_allotments
            processor_inventory --> orders_reserved
            processor_inventory --> orders_rejected
            processor_shipping["shipping"]
            orders_reserved --> processor_shipping
            processor_shipping --> orders_shipped
            processor_email["email"]
            orders_shipped --> processor_email
            orders_rejected --> processor_email
            customers_accounts -. lookup .-> processor_email
            processor_email --> emails_sent
            processor_revenue["revenue"]
            orders_placed --> processor_revenue
            revenue_sales --> processor_revenue
            processor_revenue -. table .- revenue_customers
            processor_revenue -. table .- revenue_months
            processor_revenue --> revenue_sales
    "#]]
    .assert_eq(&workplace.done(&["graph", "--format", "mermaid"]).stdout);
}

#[test]
fn what_there_is_not_is_refused_with_what_there_is() {
    let workplace = Workplace::without_cluster();
    let refused = |arguments: &[&str]| {
        let ended = workplace.run(arguments);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        ended.stderr
    };
    let processor = refused(&["run", "billing"]);
    assert!(processor.contains("\"billing\"; there are: verification, payment, inventory, shipping, email, revenue"));
    assert!(refused(&["run", "--instanse", "a"]).contains("--instance"));
    assert!(refused(&["runn"]).contains("run"));
    assert!(refused(&["graph", "--format", "dot"]).contains("[possible values: text, mermaid]"));
    assert!(refused(&["graph", "--email", "pigeon:post"]).contains("there are mbox:PATH and smtp://HOST:PORT"));
    assert!(refused(&["produce", "orders", "--rate", "fast"]).contains("500/s"));
    assert!(refused(&["graph", "--config", "none.toml"]).contains("none.toml"));
    std::fs::write(workplace.path("unchain.toml"), "[kafkaa]\n").unwrap();
    assert!(refused(&["graph"]).contains("there is no section [kafkaa]; there are: kafka, run, email"));
}

#[test]
fn without_a_broker_every_command_says_where_it_looked() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let workplace = Workplace::at(&free);
    let commands: [&[&str]; 5] =
        [&["run"], &["topics", "apply"], &["consume", "orders.placed"], &["produce", "orders"], &["demo"]];
    std::thread::scope(|scope| {
        for command in commands {
            let (workplace, free) = (&workplace, &free);
            scope.spawn(move || {
                let ended = workplace.run(command);
                assert_eq!(ended.code, Some(1), "{ended:?}");
                assert!(
                    ended.stderr.contains(&format!("no Kafka broker answered at {free}")),
                    "{command:?}: {ended:?}"
                );
            });
        }
    });
}

#[test]
fn a_log_that_is_damaged_is_named_with_the_record() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        workplace.done(&["topics", "apply"]);
        let whole = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../producers/data/cdnow-orders.avro")).unwrap();
        std::fs::write(workplace.path("cut.avro"), &whole[..whole.len() / 50]).unwrap();
        let ended = workplace.run(&["produce", "orders", "--from", "cut.avro"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.starts_with("error: cut.avro: record "), "{ended:?}");
        let missing = workplace.run(&["produce", "orders", "--from", "none.avro"]);
        assert!(missing.stderr.starts_with("error: none.avro: cannot be opened: "), "{missing:?}");
    });
}

#[test]
fn a_topic_with_too_few_partitions_is_refused_before_another_is_created() {
    on_every_cluster(|cluster| {
        let connection = cluster.connection();
        let topic = NewTopic { name: "orders.paid".to_owned(), partitions: 2, configs: Vec::new() };
        Admin::new(&connection, DEADLINE).unwrap().create_topics(&[topic]).unwrap();
        let workplace = Workplace::at(cluster.bootstrap_servers());
        let refused = workplace.run(&["topics", "apply"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("topic orders.paid has 2 partitions, its contract says 6"), "{refused:?}");
        let topics = connection.topics(DEADLINE).unwrap();
        let left: Vec<_> =
            topics.iter().map(|topic| topic.name.as_str()).filter(|name| !name.starts_with("__")).collect();
        assert_eq!(left, ["orders.paid"]);
        let listed = workplace.done(&["topics", "list"]).stdout;
        assert!(listed.contains("orders.placed") && listed.contains("missing"), "{listed}");
    });
}

#[test]
fn a_schema_that_cannot_read_what_is_there_is_refused_before_a_topic_is_created() {
    on_every_cluster(|cluster| {
        let connection = cluster.connection();
        let earlier = r#"{"type":"record","name":"OrderPaid","namespace":"orders","fields":[{"name":"order_id","type":"string"}]}"#;
        let registry = unchain::contract::open_registry(&connection, DEADLINE).unwrap();
        registry.register("orders.paid-value", earlier).unwrap();
        let refused = Workplace::at(cluster.bootstrap_servers()).run(&["topics", "apply"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("the schema for subject orders.paid-value is not compatible"), "{refused:?}");
        assert!(refused.stderr.contains("customer_id"), "the field is named: {refused:?}");
        let topics = connection.topics(DEADLINE).unwrap();
        assert!(!topics.iter().any(|topic| topic.name.starts_with("orders.")), "{topics:?}");
    });
}

#[test]
fn topics_are_applied_once_and_consumed_as_json() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        let first = workplace.done(&["topics", "apply", "--json"]).json();
        let second = workplace.done(&["topics", "apply", "--json"]).json();
        assert_eq!(first["created"].as_array().unwrap().len(), second["existing"].as_array().unwrap().len());
        assert_eq!(second["created"], serde_json::json!([]));
        workplace.done(&["produce", "orders", "--orders", "3"]);

        let lines = |arguments: &[&str]| -> Vec<Value> {
            let ended = workplace.done(arguments);
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let mut orders = lines(&["consume", "orders.placed"]);
        orders.sort_by_key(|line| line["key"].to_string());
        assert_eq!(orders.len(), 3);
        let first = &orders[0];
        assert_eq!(first["key"], "00001");
        assert_eq!(first["headers"]["ce_id"], "00001-001");
        assert_eq!(first["headers"]["ce_type"], "orders.OrderPlaced");
        assert_eq!(first["value"]["lines"], serde_json::json!([{"sku": "CD", "quantity": 1, "amount_cents": 1_177}]));
        assert_eq!(lines(&["consume", "orders.placed", "--max-records", "2"]).len(), 2);
        let partition = first["partition"].to_string();
        let offset = first["offset"].to_string();
        let again = lines(&["consume", "orders.placed", "--partition", &partition, "--from-offset", &offset]);
        assert_eq!(again[0], *first);

        let unknown = workplace.run(&["consume", "orders.payed"]);
        assert_eq!(unknown.code, Some(2));
        assert!(
            unknown.stderr.contains("there is no topic \"orders.payed\"") && unknown.stderr.contains("orders.paid")
        );
        let beyond = workplace.run(&["consume", "orders.placed", "--partition", "0", "--from-offset", "99"]);
        assert_eq!(beyond.code, Some(2), "{beyond:?}");
    });
}
