//! Nova Recovery: the HTTP service and the command line.
