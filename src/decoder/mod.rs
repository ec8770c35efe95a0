//! Decoders: how image features meet the LSTM.
