//! Single protocol requests, for what librdkafka would never send or cannot ask.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use crate::site::{PATIENCE, Site};

pub struct Raw {
    stream: TcpStream,
    sent: i32,
}

impl Raw {
    pub fn connect(site: &Site) -> Self {
        let stream = TcpStream::connect(&site.bootstrap).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, sent: 0 }
    }

    /// Sends one request in the given version and reads its response.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.sent += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.sent)
            .with_client_id(Some(StrBytes::from_static_str("conformance")));
        let mut body = BytesMut::new();
        header.encode(&mut body, R::header_version(version)).unwrap();
        request.encode(&mut body, version).unwrap();
        self.stream.write_all(&(body.len() as u32).to_be_bytes()).unwrap();
        self.stream.write_all(&body).unwrap();

        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut body).unwrap();
        let mut body = Bytes::from(body);
        let header = ResponseHeader::decode(&mut body, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.sent);
        let response = R::Response::decode(&mut body, version).unwrap();
        assert!(body.is_empty(), "{} bytes too many in the response to request {}", body.len(), R::KEY);
        response
    }

    /// Whether the broker serves a request at all. librdkafka aborts the process over some that are missing.
    pub fn serves(&mut self, api_key: i16) -> bool {
        let versions = self.call(&ApiVersionsRequest::default(), 0);
        versions.api_keys.iter().any(|api| api.api_key == api_key)
    }
}
