//! A lossless `.env` document: read exactly as Compose reads it, edited in place so that every other byte stays.
