//! What stable dfdx lacks, in dfdx's own idiom.
