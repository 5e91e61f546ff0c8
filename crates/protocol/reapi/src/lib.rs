//! Generated protocol code: REAPI and its neighbours, written from our own .proto files
