//! Header fields, trace fields, body structure, delivery status notifications.
