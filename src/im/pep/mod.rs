//! Personal eventing (XEP-0163): the nodes of an account, who may read them, who hears of them.
