//! A BlobStore and an ActionCache that speak REAPI to any server
