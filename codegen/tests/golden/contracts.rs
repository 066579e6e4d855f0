/// The Avro type `shop.Hash`.
pub type Hash = [u8; 4];

/// One field of every kind.
#[derive(Debug, Clone, PartialEq)]
#[derive(::unchain::contract::serde::Serialize, ::unchain::contract::serde::Deserialize)]
#[serde(crate = "::unchain::contract::serde")]
pub struct KitchenSink {
    /// The key.
    pub id: i64,
    /// The Avro field `type`.
    #[serde(default = "KitchenSink::default_type")]
    pub r#type: String,
    /// The Avro field `placedOn`.
    #[serde(rename = "placedOn")]
    pub placed_on: i32,
    /// The Avro field `self`.
    #[serde(rename = "self", default = "KitchenSink::default_self_")]
    pub self_: bool,
    /// The Avro field `ratio`.
    #[serde(default = "KitchenSink::default_ratio")]
    pub ratio: f32,
    /// The Avro field `share`.
    #[serde(default)]
    pub share: f64,
    /// The Avro field `raw`.
    #[serde(default = "KitchenSink::default_raw")]
    pub raw: ::unchain::contract::Bytes,
    /// The Avro field `note`.
    #[serde(default)]
    pub note: Option<::unchain::contract::Bytes>,
    /// The Avro field `last`.
    #[serde(default = "KitchenSink::default_last")]
    pub last: Option<Hash>,
    /// The Avro field `prices`.
    #[serde(default)]
    pub prices: ::std::collections::BTreeMap<String, Option<f64>>,
    /// The Avro field `places`.
    #[serde(default = "KitchenSink::default_places")]
    pub places: Vec<Place>,
    /// The Avro field `home`.
    #[serde(default)]
    pub home: Option<Place>,
    /// The Avro field `state`.
    #[serde(default = "KitchenSink::default_state")]
    pub state: State,
}

impl KitchenSink {
    fn default_type() -> String {
        "a \"new\" one".to_owned()
    }
    fn default_self_() -> bool {
        true
    }
    fn default_ratio() -> f32 {
        0.5
    }
    fn default_raw() -> ::unchain::contract::Bytes {
        ::unchain::contract::Bytes::from_static(&[255])
    }
    fn default_last() -> Option<Hash> {
        Some([0, 1, 2, 3])
    }
    fn default_places() -> Vec<Place> {
        vec![Place { name: "here".to_owned(), floor: -1 }]
    }
    fn default_state() -> State {
        State::DoneWell
    }
}

impl ::unchain::contract::Datum for KitchenSink {
    fn write(&self, out: &mut Vec<u8>) {
        ::unchain::contract::Datum::write(&self.id, out);
        ::unchain::contract::Datum::write(&self.r#type, out);
        ::unchain::contract::Datum::write(&self.placed_on, out);
        ::unchain::contract::Datum::write(&self.self_, out);
        ::unchain::contract::Datum::write(&self.ratio, out);
        ::unchain::contract::Datum::write(&self.share, out);
        ::unchain::contract::Datum::write(&self.raw, out);
        ::unchain::contract::Datum::write(&self.note, out);
        ::unchain::contract::write_null_last(&self.last, out);
        ::unchain::contract::Datum::write(&self.prices, out);
        ::unchain::contract::Datum::write(&self.places, out);
        ::unchain::contract::Datum::write(&self.home, out);
        ::unchain::contract::Datum::write(&self.state, out);
    }

    fn read(input: &mut ::unchain::contract::Input<'_>) -> Result<Self, ::unchain::contract::Malformed> {
        Ok(KitchenSink {
            id: ::unchain::contract::read_field(input, "id")?,
            r#type: ::unchain::contract::read_field(input, "type")?,
            placed_on: ::unchain::contract::read_field(input, "placedOn")?,
            self_: ::unchain::contract::read_field(input, "self")?,
            ratio: ::unchain::contract::read_field(input, "ratio")?,
            share: ::unchain::contract::read_field(input, "share")?,
            raw: ::unchain::contract::read_field(input, "raw")?,
            note: ::unchain::contract::read_field(input, "note")?,
            last: ::unchain::contract::read_null_last_field(input, "last")?,
            prices: ::unchain::contract::read_field(input, "prices")?,
            places: ::unchain::contract::read_field(input, "places")?,
            home: ::unchain::contract::read_field(input, "home")?,
            state: ::unchain::contract::read_field(input, "state")?,
        })
    }
}

/// The Avro type `shop.Place`.
#[derive(Debug, Clone, PartialEq)]
#[derive(::unchain::contract::serde::Serialize, ::unchain::contract::serde::Deserialize)]
#[serde(crate = "::unchain::contract::serde")]
pub struct Place {
    /// The Avro field `name`.
    pub name: String,
    /// The Avro field `floor`.
    #[serde(default = "Place::default_floor")]
    pub floor: i32,
}

impl Place {
    fn default_floor() -> i32 {
        -1
    }
}

impl ::unchain::contract::Datum for Place {
    fn write(&self, out: &mut Vec<u8>) {
        ::unchain::contract::Datum::write(&self.name, out);
        ::unchain::contract::Datum::write(&self.floor, out);
    }

    fn read(input: &mut ::unchain::contract::Input<'_>) -> Result<Self, ::unchain::contract::Malformed> {
        Ok(Place {
            name: ::unchain::contract::read_field(input, "name")?,
            floor: ::unchain::contract::read_field(input, "floor")?,
        })
    }
}

/// The Avro type `shop.State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[derive(::unchain::contract::serde::Serialize, ::unchain::contract::serde::Deserialize)]
#[serde(crate = "::unchain::contract::serde")]
pub enum State {
    #[serde(rename = "OPEN")]
    Open,
    #[serde(rename = "DONE_WELL")]
    DoneWell,
}

impl State {
    /// The Avro symbol.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "OPEN",
            State::DoneWell => "DONE_WELL",
        }
    }
}

impl ::unchain::contract::Datum for State {
    fn write(&self, out: &mut Vec<u8>) {
        ::unchain::contract::Datum::write(&(*self as i32), out);
    }

    fn read(input: &mut ::unchain::contract::Input<'_>) -> Result<Self, ::unchain::contract::Malformed> {
        match <i32 as ::unchain::contract::Datum>::read(input)? {
            0 => Ok(State::Open),
            1 => Ok(State::DoneWell),
            index => Err(input.no_symbol(index, "State")),
        }
    }
}

/// The topic `shop.kitchen-sinks`.
pub static SHOP_KITCHEN_SINKS: ::unchain::contract::Topic = ::unchain::contract::Topic {
    name: "shop.kitchen-sinks",
    schema_name: "shop.KitchenSink",
    schema: r#"{"doc":"One field of every kind.","fields":[{"doc":"The key.","name":"id","type":"long"},{"default":"a \"new\" one","name":"type","type":"string"},{"name":"placedOn","type":{"logicalType":"date","type":"int"}},{"default":true,"name":"self","type":"boolean"},{"default":0.5,"name":"ratio","type":"float"},{"default":0,"name":"share","type":"double"},{"default":"ÿ","name":"raw","type":"bytes"},{"default":null,"name":"note","type":["null","bytes"]},{"default":"\u0000\u0001\u0002\u0003","name":"last","type":[{"name":"shop.Hash","size":4,"type":"fixed"},"null"]},{"default":{},"name":"prices","type":{"type":"map","values":["null","double"]}},{"default":[{"name":"here"}],"name":"places","type":{"items":{"fields":[{"name":"name","type":"string"},{"default":-1,"name":"floor","type":"int"}],"name":"shop.Place","type":"record"},"type":"array"}},{"default":null,"name":"home","type":["null","shop.Place"]},{"default":"DONE_WELL","name":"state","type":{"name":"shop.State","symbols":["OPEN","DONE_WELL"],"type":"enum"}}],"name":"shop.KitchenSink","type":"record"}"#,
    key: "id",
    partitions: 2,
    cleanup: ::unchain::contract::Cleanup::Compact,
    retention: ::unchain::contract::Retention::Forever,
    doc: "One field of every kind.",
};

impl ::unchain::contract::Contract for KitchenSink {
    const TOPIC: &'static ::unchain::contract::Topic = &SHOP_KITCHEN_SINKS;

    fn key(&self) -> ::std::borrow::Cow<'_, str> {
        ::std::borrow::Cow::Owned(self.id.to_string())
    }
}

/// Every topic of these contracts, by name.
pub const TOPICS: &[&::unchain::contract::Topic] = &[
    &SHOP_KITCHEN_SINKS,
];
