<?php
/**
 * Accounts, groups, bot passwords, pages and abuse filters from one JSON file, in one PHP process.
 */

use MediaWiki\Auth\AuthManager;
use MediaWiki\Extension\AbuseFilter\AbuseFilterServices;
use MediaWiki\Extension\AbuseFilter\Filter\MutableFilter;
use MediaWiki\MediaWikiServices;
use MediaWiki\Revision\SlotRecord;

require_once getenv( 'MW_INSTALL_PATH' ) . '/maintenance/Maintenance.php';

class SandboxSetup extends Maintenance {
	public function __construct() {
		parent::__construct();
		$this->addArg( 'json', 'What to create; written by site.py' );
	}

	public function execute() {
		$wanted = json_decode( file_get_contents( $this->getArg( 0 ) ), true, 512, JSON_THROW_ON_ERROR );
		foreach ( $wanted['accounts'] as $account ) {
			$this->createAccount( $account );
		}
		$author = $this->services()->getUserFactory()->newFromName( $wanted['author'] );
		foreach ( $wanted['pages'] as $name => $text ) {
			$this->createPage( $author, $name, $text );
		}
		foreach ( $wanted['abuse_filters'] as $filter ) {
			$this->createFilter( $author, $filter );
		}
	}

	private function services(): MediaWikiServices {
		return MediaWikiServices::getInstance();
	}

	private function check( string $what, StatusValue $status ): void {
		if ( !$status->isGood() ) {
			$this->fatalError( "$what: " . Status::wrap( $status )->getMessage( false, false, 'en' )->text() );
		}
	}

	private function createAccount( array $account ): void {
		$name = $account['name'];
		$user = $this->services()->getUserFactory()->newFromName( $name );
		if ( !$user->isRegistered() ) {
			$this->check( $name, $this->services()->getAuthManager()->autoCreateUser(
				$user, AuthManager::AUTOCREATE_SOURCE_MAINT, false
			) );
		}
		$this->check( "$name's password", $user->changeAuthenticationData( [
			'username' => $name, 'password' => $account['password'], 'retype' => $account['password'],
		] ) );
		foreach ( $account['groups'] as $group ) {
			$this->services()->getUserGroupManager()->addUserToGroup( $user, $group );
		}
		foreach ( $account['bot_passwords'] as $bot ) {
			$row = BotPassword::newUnsaved(
				[ 'username' => $name, 'appId' => $bot['app_id'], 'grants' => $bot['grants'] ]
			);
			$hash = $this->services()->getPasswordFactory()->newFromPlaintext( $bot['password'] );
			$this->check( "{$name}@{$bot['app_id']}", $row->save( 'insert', $hash ) );
		}
		$user->saveSettings();
	}

	private function createPage( User $author, string $name, string $text ): void {
		$title = Title::newFromText( $name );
		$updater = $this->services()->getWikiPageFactory()->newFromTitle( $title )->newPageUpdater( $author );
		$updater->setContent( SlotRecord::MAIN, ContentHandler::makeContent( $text, $title ) );
		$updater->saveRevision( CommentStoreComment::newUnsavedComment( 'setup' ), EDIT_SUPPRESS_RC );
		$this->check( $name, $updater->getStatus() );
	}

	private function createFilter( User $author, array $wanted ): void {
		$filter = MutableFilter::newDefault();
		$filter->setName( $wanted['name'] );
		$filter->setRules( $wanted['pattern'] );
		$filter->setGroup( 'default' );
		$filter->setActions( [ $wanted['action'] => [ $wanted['message'] ] ] );
		$this->check( $wanted['name'], AbuseFilterServices::getFilterStore()->saveFilter(
			$author, null, $filter, MutableFilter::newDefault()
		) );
	}
}

$maintClass = SandboxSetup::class;
require_once RUN_MAINTENANCE_IF_MAIN;
