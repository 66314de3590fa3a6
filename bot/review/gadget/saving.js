/* Saving one row: the newest text, the smallest change, again after an edit conflict. */
( function ( review ) {
	'use strict';

	const MAX_TRIES = 5;
	let api, queue = Promise.resolve();

	/**
	 * An API request that does not count on anything but what it asked for.
	 *
	 * @param {Function} send Takes the mw.Api and returns its promise
	 * @return {Promise} Fails with an Error that has the API's `code` and, as message, its own sentence
	 */
	function request( send ) {
		api = api || new mw.Api( {
			parameters: { formatversion: 2, errorformat: 'plaintext', uselang: mw.config.get( 'wgUserLanguage' ) }
		} );
		return new Promise( ( resolve, reject ) => {
			send( api ).then( resolve, ( code, answer ) => {
				const first = ( answer && answer.errors || [] )[ 0 ];
				reject( failure( code, first && first.text ) );
			} );
		} );
	}

	function failure( code, text ) {
		return Object.assign( new Error( text || code ), { code: code } );
	}

	/**
	 * One after another, over all tabs: to MediaWiki two edits of one account never conflict, and the later would
	 * silently undo the earlier.
	 *
	 * @param {Function} task Returns a promise
	 * @return {Promise} What the task's promise gives
	 */
	function inTurn( task ) {
		const locks = navigator.locks; // eslint-disable-line compat/compat -- one tab is safe without it
		const result = queue.then( () => locks ? locks.request( 'commons-review', task ) : task() );
		queue = result.catch( () => {} );
		return result;
	}

	function read( title ) {
		return request( ( to ) => to.get( {
			action: 'query',
			titles: [ title ],
			prop: 'revisions',
			rvprop: [ 'ids', 'timestamp', 'content' ],
			rvslots: 'main',
			curtimestamp: true
		} ) ).then( ( answer ) => {
			const revision = ( answer.query.pages[ 0 ].revisions || [] )[ 0 ];
			return revision && {
				text: revision.slots.main.content || '',
				base: {
					baserevid: revision.revid,
					basetimestamp: revision.timestamp,
					starttimestamp: answer.curtimestamp
				}
			};
		} );
	}

	function write( title, text, summary, base ) {
		return request( ( to ) => to.postWithEditToken( to.assertCurrentUser( Object.assign( {
			action: 'edit',
			title: title,
			text: text,
			summary: summary,
			nocreate: true,
			watchlist: 'nochange'
		}, base ) ) ) ).then( ( answer ) => {
			if ( answer.edit.result !== 'Success' ) {
				throw failure( answer.edit.captcha ? 'captcha' : 'failure', answer.edit.info );
			}
		} );
	}

	function attempt( edit, tries ) {
		return read( edit.title ).then( ( page ) => {
			const row = page && review.setParameters( page.text, edit.id, {} );
			if ( !row ) {
				throw failure( 'norow' );
			}
			const changes = edit.change( row.former );
			const edited = review.setParameters( page.text, edit.id, changes );
			const done = { former: row.former, changes: changes };
			// Nothing to change where an earlier try that broke off was saved after all.
			return edited.text === page.text ? done :
				write( edit.title, edited.text, edit.summary, page.base ).then( () => done );
		} ).catch( ( error ) => {
			if ( error.code !== 'editconflict' ) {
				throw error;
			}
			if ( tries >= MAX_TRIES ) {
				throw failure( 'busy' );
			}
			return attempt( edit, tries + 1 );
		} );
	}

	/**
	 * Change parameters of one row in the newest text of a page.
	 *
	 * @param {Object} edit
	 * @param {string} edit.title
	 * @param {string} edit.id
	 * @param {string} edit.summary
	 * @param {Function} edit.change Takes the values that stand there, as wikitext, and returns those to set (see
	 *  setParameters), or throws where they must stay
	 * @return {Promise} `former` and `changes`
	 */
	review.save = ( edit ) => inTurn( () => attempt( edit, 1 ) );
	review.request = request;
	review.failure = failure;
}( mw.commonsReview ) );
